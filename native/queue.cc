#include "queue.h"

#include <math.h>
#include <string.h>

#include <mutex>
#include <vector>

namespace cv {

// What stands before a call's arguments in the ring; entries are whole numbers of its size, so one always fits before the end.
struct Queue::Entry {
  Kernel kernel;  // null: nothing more up to the ring's end
  int64_t size;   // doubles, this included
  int64_t threads;
  int64_t number;  // the kernel's

  double* arguments() { return (double*)(this + 1); }
};

namespace {

constexpr int64_t kHeader = 4;  // doubles

template <class T>
T read(const T& value) {
  return __atomic_load_n(&value, __ATOMIC_SEQ_CST);
}
template <class T>
void write(T& value, T to) {
  __atomic_store_n(&value, to, __ATOMIC_SEQ_CST);
}

// Helps with a job, or passes a moment.
void pass(int& waits) {
  if (help_pool()) waits = 0;
  else pause(waits++);
}

}  // namespace

Queue::Entry& Queue::at(int64_t place) const { return *(Entry*)(ring_ + place % kRing); }

bool Queue::idle() const { return read(tail_) == read(head_); }

void Queue::add(const Call& call) {
  static_assert(sizeof(Entry) == kHeader * sizeof(double));
  if (call.threads <= 1) {
    wait(INFINITY);
    run_kernel(call.kernel, call.number, 1, call.arguments);
    write(done_, ++added_);
    return;
  }
  want_workers(call.threads - 1);
  put(call);
  added_++;
  if (!read(running_)) stir_pool();
}

void Queue::put(const Call& call) {
  if (ring_ == nullptr) ring_ = new double[kRing];
  const int64_t size = kHeader + (call.count + kHeader - 1) / kHeader * kHeader;
  const int64_t left = kRing - head_ % kRing, skipped = left < size ? left : 0;
  for (int waits = 0; head_ + skipped + size - read(tail_) > kRing;)
    if (!run(read(done_) + 1)) pass(waits);
  if (skipped > 0) at(head_) = {nullptr, skipped, 0, 0};
  Entry& entry = at(head_ + skipped);
  entry = {call.kernel, size, call.threads, call.number};
  double* arguments = entry.arguments();
  memcpy(arguments, call.arguments, call.count * sizeof(double));
  if (call.list >= 0) arguments[call.list] += (double)((intptr_t)arguments - (intptr_t)call.arguments);
  write(head_, head_ + skipped + size);
}

void Queue::wait(double call) {
  const int64_t last = call < (double)added_ ? (int64_t)call : added_;
  for (int waits = 0; read(done_) < last;)
    if (run(last)) waits = 0;
    else pass(waits);
  if (!idle() && !read(running_)) stir_pool();
}

Lack Queue::take_lack() {
  if (read(lack_.bytes) == 0) return {0, 0};
  wait(INFINITY);
  const Lack lack = lack_;
  lack_ = {0, 0};
  return lack;
}

bool Queue::run(int64_t last) {
  bool ran = false, free = false;
  while (!idle() && read(done_) < last && !read(closed_) &&
         __atomic_compare_exchange_n(&running_, &free, true, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    run_until(last);
    ran = true;
    write(running_, false);  // what was added meanwhile by one who saw the role taken is found by the next look
  }
  return ran;
}

void Queue::run_until(int64_t last) {
  // The next call of a step comes soon: the role is kept as long as a worker would stay awake.
  for (int waits = 0; read(done_) < last && !read(closed_) && waits < spins;)
    if (idle()) pause(waits++);
    else run_next(), waits = 0;
}

void Queue::run_next() {
  Entry& entry = at(tail_);
  if (entry.kernel != nullptr) {
    Scratch* const own = use_scratch(&scratch_);
    run_kernel(entry.kernel, entry.number, (int)entry.threads, entry.arguments());
    use_scratch(own);
    write(done_, done_ + 1);
  }
  write(tail_, tail_ + entry.size);
}

void Queue::run_kernel(Kernel kernel, int64_t number, int threads, const double* arguments) {
  if (lack_.bytes != 0) return;
  set_threads(threads);
  try {
    kernel(arguments);
  } catch (const OutOfMemory& memory) {
    lack_.kernel = number;
    write(lack_.bytes, memory.bytes);
  }
}

void Queue::close() {
  write(closed_, true);
  bool free = false;
  for (int waits = 0; !__atomic_compare_exchange_n(&running_, &free, true, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); free = false)
    pass(waits);
  delete[] ring_;
  ring_ = nullptr;
  scratch_.clear();
  write(head_, int64_t{0}), write(tail_, int64_t{0}), write(done_, int64_t{0}), write(lack_.bytes, int64_t{0});
  added_ = 0;
  write(closed_, false);
  write(running_, false);
}

namespace {

// Never freed: a worker may look at a queue that has just been given back.
struct Queues {
  std::mutex mutex;
  std::vector<Queue*> spare;
  Queue* all[256] = {};
  int count = 0;
};
Queues& queues() {
  static Queues* const it = new Queues;
  return *it;
}

}  // namespace

Queue* take_queue() {
  Queues& them = queues();
  std::lock_guard<std::mutex> lock(them.mutex);
  if (them.spare.empty()) {
    Queue* made = new Queue;
    if (them.count < 256) {
      them.all[them.count] = made;
      write(them.count, them.count + 1);
    }
    return made;  // one that workers do not know is run by its own thread
  }
  Queue* queue = them.spare.back();
  them.spare.pop_back();
  return queue;
}

void give_queue(Queue* queue) {
  queue->close();
  std::lock_guard<std::mutex> lock(queues().mutex);
  queues().spare.push_back(queue);
}

bool run_queues() {
  Queues& them = queues();
  bool ran = false;
  for (int i = 0; i < read(them.count); i++) ran |= them.all[i]->run(INT64_MAX);
  return ran;
}

}  // namespace cv
