// The kernel calls of one JavaScript thread, in order. That thread adds them and goes on; whoever holds the queue's role runs them: a worker
// while JavaScript prepares the next calls, or the JavaScript thread itself once it has to wait.
#pragma once
#include <stdint.h>

#include "pool_native.h"

namespace cv {

typedef void (*Kernel)(const double* arguments);

struct Call {
  Kernel kernel;
  int threads;              // that take part
  const double* arguments;  // `count` doubles
  int count;
  int list;  // the place among them of a list's address, which stands in them too; -1: no list
};

class Queue {
 public:
  // For JavaScript's thread. Runs the call at once where one thread is wanted, else copies it; a full ring makes it wait.
  void add(const Call& call);
  // Returns when `call` (counted from 1, and no more than there are) and all before it are done, and runs them where nobody else does.
  void wait(double call);
  // Calls added so far.
  int64_t added() const { return added_; }
  // Bytes that a kernel needed and did not get, once; 0 if all did. Calls after it, up to here, were left out.
  int64_t take_missing();

  // Runs what stands in the queue up to call `last`, unless somebody does already. Returns whether it ran any.
  bool run(int64_t last);
  // Leaves out what has not run yet, and gives memory back.
  void close();

 private:
  struct Entry;
  static constexpr int64_t kRing = 1 << 16;  // doubles: some thousand calls, or a few with the longest lists

  Entry& at(int64_t place) const;
  bool idle() const;
  void put(const Call& call);
  void run_next();
  void run_kernel(Kernel kernel, int threads, const double* arguments);
  void run_until(int64_t last);

  double* ring_ = nullptr;
  int64_t added_ = 0;              // calls; JavaScript's thread alone reads it
  alignas(64) int64_t head_ = 0;   // doubles written, since the beginning
  alignas(64) int64_t tail_ = 0;   // doubles read
  int64_t done_ = 0;               // calls
  int64_t missing_ = 0;
  bool running_ = false;  // the role is taken
  bool closed_ = false;
  Scratch scratch_;
};

// One for a JavaScript thread, and back.
Queue* take_queue();
void give_queue(Queue* queue);

// Runs calls of any queue that nobody runs. Returns whether there were any.
bool run_queues();

}  // namespace cv
