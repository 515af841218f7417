// Threads and scratch memory in WebAssembly: every worker runs this module on the same shared memory, inside cv_worker.
#include "pool.h"

namespace cv {

// The host's allocator (src/kernels/wasm.ts): frees `address` unless 0, and gives 64-byte aligned memory.
// `bytes` is a double because it may be more than an address can say.
__attribute__((import_module("env"), import_name("scratch"))) extern "C" void* host_scratch(void* address, double bytes);

namespace {

Pool pool;
int wanted = 1;
bool may_wait = false;  // a browser's main thread may not
void* scratch_memory[8];
int64_t scratch_size[8];

// WebAssembly has no pause instruction.
void spin() {
  for (int i = 0; i < 16; i++) asm volatile("");
}
void wake(uint32_t* epoch) { __builtin_wasm_memory_atomic_notify((int*)epoch, ~0u); }

}  // namespace

int threads() { return wanted; }

void run_tasks(int64_t tasks, void (*body)(void*, int64_t), void* context) {
  int64_t helpers = (tasks < wanted ? tasks : wanted) - 1;
  if (helpers <= 0) {
    for (int64_t t = 0; t < tasks; t++) body(context, t);
    return;
  }
  // A worker that lost its core holds the last task: where we may, let it have ours for a moment.
  int waits = 0;
  static int never = 0;
  pool.run((int)helpers, tasks, body, context, wake, [&waits] {
    if (may_wait && ++waits > 10000) __builtin_wasm_memory_atomic_wait32(&never, 0, 20000);
  });
}

void* scratch(int slot, int64_t bytes) {
  if (scratch_size[slot] < bytes) {
    // The host throws where it has no memory left: the slot must be empty by then.
    void* old = scratch_memory[slot];
    scratch_memory[slot] = nullptr;
    scratch_size[slot] = 0;
    const int64_t wished = bytes + bytes / 4;
    scratch_memory[slot] = host_scratch(old, (double)wished);
    scratch_size[slot] = wished;
  }
  return scratch_memory[slot];
}

}  // namespace cv

extern "C" {

__attribute__((export_name("cv_setup"))) void cv_setup(int threads, int may_wait) {
  cv::wanted = threads;
  cv::may_wait = may_wait;
}

__attribute__((export_name("cv_worker"))) void cv_worker() {
  cv::pool.serve([](uint32_t* epoch, uint32_t seen) { __builtin_wasm_memory_atomic_wait32((int*)epoch, (int)seen, -1); }, cv::spin,
                 [] { return false; });
}

__attribute__((export_name("cv_quit"))) void cv_quit() { cv::pool.quit(cv::wake); }

}
