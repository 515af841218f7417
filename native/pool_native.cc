// Threads and scratch memory of a native process: one pool, shared by every JavaScript thread that loads the library.
#include "pool_native.h"

#include <stdlib.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "pool.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cv {
namespace {

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Workers {
 public:
  explicit Workers(int wished) : wished(wished) {
    try {
      for (int i = 0; i < wished; i++) threads_.emplace_back([this, i] { serve(i); });
    } catch (const std::system_error&) {
      // The machine gives no more threads: go on with those there are.
    }
  }

  ~Workers() {
    pool_.quit([this](uint32_t*) { wake(); });
    for (std::thread& thread : threads_) thread.join();
  }

  const int wished;

  void run(int helpers, int64_t tasks, void (*body)(void*, int64_t), void* context) {
    int waits = 0;
    pool_.run(
        helpers, tasks, body, context, [this](uint32_t*) { wake(); },
        // A worker that lost its core holds the last task: let it have ours.
        [&waits] { ++waits < 4000 ? relax() : std::this_thread::yield(); });
  }

 private:
  void serve(int index) {
    pool_.serve(
        index,
        [this](uint32_t* epoch, uint32_t seen) {
          std::unique_lock<std::mutex> lock(mutex_);
          wakened_.wait(lock, [&] { return __atomic_load_n(epoch, __ATOMIC_SEQ_CST) != seen; });
        },
        relax);
  }

  void wake() {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wakened_.notify_all();
  }

  Pool pool_;
  std::mutex mutex_;
  std::condition_variable wakened_;
  std::vector<std::thread> threads_;
};

// Never destroyed by the process' exit: a worker may still be running then.
struct Shared {
  std::mutex mutex;
  Workers* workers = nullptr;
  int users = 0;
};
Shared& shared() {
  static Shared* const it = new Shared;
  return *it;
}

thread_local int wanted = 1;

struct Scratch {
  void* memory[8] = {};
  int64_t size[8] = {};
  ~Scratch() {
    for (void* m : memory) free(m);
  }
};
thread_local Scratch mine;

}  // namespace

void set_threads(int count) { wanted = count; }
int threads() { return wanted; }

void retain_pool() {
  std::lock_guard<std::mutex> lock(shared().mutex);
  shared().users++;
}

void release_pool() {
  std::lock_guard<std::mutex> lock(shared().mutex);
  if (--shared().users > 0) return;
  delete shared().workers;
  shared().workers = nullptr;
}

void run_tasks(int64_t tasks, void (*body)(void*, int64_t), void* context) {
  int64_t helpers = (tasks < wanted ? tasks : wanted) - 1;
  if (helpers <= 0) {
    for (int64_t t = 0; t < tasks; t++) body(context, t);
    return;
  }
  std::lock_guard<std::mutex> lock(shared().mutex);
  Workers*& workers = shared().workers;
  if (workers == nullptr || workers->wished < wanted - 1) {
    delete workers;
    workers = new Workers(wanted - 1);
  }
  workers->run((int)helpers, tasks, body, context);
}

void* scratch(int slot, int64_t bytes) {
  if (mine.size[slot] < bytes) {
    free(mine.memory[slot]);
    mine.memory[slot] = nullptr;
    mine.size[slot] = 0;
    int64_t rounded = (bytes + bytes / 4 + 4095) / 4096 * 4096;
    if (posix_memalign(&mine.memory[slot], 64, (size_t)rounded) != 0) {
      mine.memory[slot] = nullptr;
      throw OutOfMemory{rounded};
    }
    mine.size[slot] = rounded;
  }
  return mine.memory[slot];
}

}  // namespace cv
