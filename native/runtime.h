// What kernels may ask of the process that hosts them: threads and scratch memory. Implemented twice: pool_native.cc
// (std::thread) and pool_wasm.cc (workers on shared memory). A kernel runs on one thread, not always its caller's, and may call
// parallel() any number of times, never from inside a task.
#pragma once
#include <stdint.h>

namespace cv {

// Threads that take part in parallel(), the caller included.
int threads();

// Runs body(context, task) for every task in [0, tasks), each once, on any thread, and returns when all are done.
// Results must not depend on which thread runs a task: the number of tasks, and so the bits of a sum, must come from the
// sizes alone, never from threads().
void run_tasks(int64_t tasks, void (*body)(void* context, int64_t task), void* context);

template <class F>
inline void parallel(int64_t tasks, const F& f) {
  if (tasks <= 0) return;
  run_tasks(tasks, [](void* c, int64_t t) { (*static_cast<const F*>(c))(t); }, const_cast<F*>(&f));
}

// What scratch() throws where there is none; a kernel lets it pass. Under wasm the host throws in its place.
struct OutOfMemory {
  int64_t bytes;
};

// At least `bytes` of 64-byte aligned memory, valid until the kernel returns. Call on the kernel's own thread only, at most once
// for each slot (0 to 7) a kernel; contents are undefined.
void* scratch(int slot, int64_t bytes);

}  // namespace cv
