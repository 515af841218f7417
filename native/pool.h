// The thread pool's protocol, shared by pool_native.cc and pool_wasm.cc, which differ only in how a thread sleeps.
//
// One job runs at a time. The caller opens it, takes tasks like any worker, closes it when they are gone, and waits for
// those who joined. A worker that wakes late finds the job closed and goes back to sleep: nobody waits for it.
#pragma once
#include "runtime.h"

namespace cv {

class Pool {
 public:
  // Opens a job to at most `helpers` workers, works on it, and returns when every task is done. One caller at a time.
  // wake() must end every sleep(); pause() is called while waiting for the last tasks.
  template <class Wake, class Pause>
  void run(int helpers, int64_t tasks, void (*body)(void*, int64_t), void* context, Wake wake, Pause pause) {
    body_ = body, context_ = context;
    __atomic_store_n(&helpers_, helpers, __ATOMIC_RELAXED);
    __atomic_store_n(&tasks_, tasks, __ATOMIC_RELAXED);
    __atomic_store_n(&next_, 0, __ATOMIC_RELAXED);
    __atomic_fetch_or(&state_, kOpen, __ATOMIC_RELEASE);
    stir(wake);
    work();
    __atomic_fetch_and(&state_, ~kOpen, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&state_, __ATOMIC_ACQUIRE) != 0) pause();
  }

  // Joins the open job, if there is one with tasks left and room, until its tasks are gone. Returns whether it did.
  bool help() {
    if (__atomic_load_n(&next_, __ATOMIC_RELAXED) >= __atomic_load_n(&tasks_, __ATOMIC_RELAXED) || !join()) return false;
    work();
    __atomic_fetch_sub(&state_, 1, __ATOMIC_RELEASE);
    return true;
  }

  // The life of a worker: returns after quit(). sleep(epoch, seen) returns at once if *epoch != seen. other() does what there is to do
  // besides jobs, and returns whether there was anything; stir() must follow when there is more.
  template <class Sleep, class Pause, class Other>
  void serve(Sleep sleep, Pause pause, Other other) {
    while (!__atomic_load_n(&quit_, __ATOMIC_ACQUIRE)) {
      const uint32_t seen = epoch();
      if (help() || other()) continue;
      for (int spin = 0; spin < kSpins && epoch() == seen; spin++) pause();
      if (epoch() != seen) continue;
      __atomic_fetch_add(&sleepers_, 1, __ATOMIC_SEQ_CST);
      sleep(&epoch_, seen);
      __atomic_fetch_sub(&sleepers_, 1, __ATOMIC_SEQ_CST);
    }
  }

  // Ends every sleep.
  template <class Wake>
  void stir(Wake wake) {
    __atomic_fetch_add(&epoch_, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&sleepers_, __ATOMIC_SEQ_CST) > 0) wake(&epoch_);
  }

  template <class Wake>
  void quit(Wake wake) {
    __atomic_store_n(&quit_, true, __ATOMIC_RELEASE);
    __atomic_fetch_add(&epoch_, 1, __ATOMIC_SEQ_CST);
    wake(&epoch_);
  }

  // About 30 microseconds: longer than the gap between two kernels of a step, shorter than anyone would notice.
  static constexpr int kSpins = 2000;

 private:
  static constexpr uint32_t kOpen = 1u << 16;  // state_: bits 0-15 count those who joined the job

  uint32_t epoch() const { return __atomic_load_n(&epoch_, __ATOMIC_SEQ_CST); }

  bool join() {
    uint32_t state = __atomic_load_n(&state_, __ATOMIC_ACQUIRE);
    do {
      if (!(state & kOpen) || (int)(state & ~kOpen) >= __atomic_load_n(&helpers_, __ATOMIC_RELAXED)) return false;
    } while (!__atomic_compare_exchange_n(&state_, &state, state + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return true;
  }

  void work() {
    for (int64_t t; (t = __atomic_fetch_add(&next_, 1, __ATOMIC_RELAXED)) < tasks_;) body_(context_, t);
  }

  void (*body_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  int64_t tasks_ = 0;
  int helpers_ = 0;
  alignas(64) int64_t next_ = 0;
  alignas(64) uint32_t state_ = 0;
  uint32_t epoch_ = 0, sleepers_ = 0;
  bool quit_ = false;
};

}  // namespace cv
