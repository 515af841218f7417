// The kernel calls of one JavaScript thread, in order. That thread adds them and goes on; whoever holds the queue's role runs them: a worker
// while JavaScript prepares the next calls, or the JavaScript thread itself once it has to wait.
#pragma once
#include <stdint.h>

#include "pool_native.h"

namespace cv {

typedef void (*Kernel)(const double* arguments);

struct Call {
  Kernel kernel;
  int number;               // of the kernel, for take_lack()
  int threads;              // that take part
  const double* arguments;  // `count` doubles
  int count;
  int list;  // the place among them of a list's address, which stands in them too; -1: no list
};

// A kernel, by its number, and the bytes that it needed and did not get.
struct Lack {
  int64_t kernel, bytes;
};

class Queue {
 public:
  // For JavaScript's thread. Runs the call at once where one thread is wanted, else copies it; a full ring makes it wait.
  void add(const Call& call);
  // Returns when `call` (counted from 1, and no more than there are) and all before it are done, and runs them where nobody else does.
  void wait(double call);
  // Calls added so far.
  int64_t added() const { return added_; }
  // What a kernel lacked, once; of 0 bytes if none did. Calls after it, up to here, were left out.
  Lack take_lack();

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
  void run_kernel(Kernel kernel, int64_t number, int threads, const double* arguments);
  void run_until(int64_t last);

  double* ring_ = nullptr;
  int64_t added_ = 0;              // calls; JavaScript's thread alone reads it
  alignas(64) int64_t head_ = 0;   // doubles written, since the beginning
  alignas(64) int64_t tail_ = 0;   // doubles read
  int64_t done_ = 0;               // calls
  Lack lack_ = {0, 0};  // its bytes are written last
  bool running_ = false;  // the role is taken
  bool closed_ = false;
  Scratch scratch_;
};

// One for a JavaScript thread, and back.
Queue* take_queue();
void give_queue(Queue* queue);

// Runs calls of any queue that nobody runs. Returns whether there were any. A queue that workers pass over, busy with another, is run by its
// own thread once that has to wait.
bool run_queues();

}  // namespace cv
