// Threads and scratch memory of a native process: one pool, shared by every JavaScript thread that loads the library.
#include "pool_native.h"

#include <stdlib.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "pool.h"
#include "queue.h"
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
  ~Workers() {
    pool_.quit([this](uint32_t*) { wake(); });
    for (std::thread& thread : threads_) thread.join();
  }

  void want(int count) {
    if (count <= __atomic_load_n(&wished_, __ATOMIC_ACQUIRE)) return;
    std::lock_guard<std::mutex> lock(mutex_);
    try {
      while ((int)threads_.size() < count) threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error&) {
      // The machine gives no more threads: go on with those there are.
    }
    __atomic_store_n(&wished_, count, __ATOMIC_RELEASE);
  }

  bool help() { return pool_.help(); }
  void stir() {
    pool_.stir([this](uint32_t*) { wake(); });
  }

  void run(int helpers, int64_t tasks, void (*body)(void*, int64_t), void* context) {
    std::lock_guard<std::mutex> lock(job_);
    int waits = 0;
    pool_.run(helpers, tasks, body, context, [this](uint32_t*) { wake(); }, [&waits] { pause(waits++); });
  }

 private:
  void serve() {
    pool_.serve(
        [this](uint32_t* epoch, uint32_t seen) {
          std::unique_lock<std::mutex> lock(mutex_);
          wakened_.wait(lock, [&] { return __atomic_load_n(epoch, __ATOMIC_SEQ_CST) != seen; });
        },
        relax, run_queues);
  }

  void wake() {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wakened_.notify_all();
  }

  Pool pool_;
  std::mutex job_;    // one at a time
  std::mutex mutex_;  // of sleepers, and of the list of threads
  std::condition_variable wakened_;
  std::vector<std::thread> threads_;
  int wished_ = 0;
};

// Never destroyed by the process' exit: a worker may still be running then.
struct Shared {
  std::mutex mutex;
  Workers* workers = nullptr;  // null when there are no users: kernels then run on the thread that calls them
  int users = 0;
};
Shared& shared() {
  static Shared* const it = new Shared;
  return *it;
}

thread_local int wanted = 1;
thread_local Scratch* active_scratch = nullptr;

struct OwnScratch : Scratch {
  ~OwnScratch() { clear(); }
};
thread_local OwnScratch own_scratch;

}  // namespace

const int spins = Pool::kSpins;

void set_threads(int count) { wanted = count; }
int threads() { return wanted; }

void pause(int waits) { waits < 4000 ? relax() : std::this_thread::yield(); }

void retain_pool() {
  std::lock_guard<std::mutex> lock(shared().mutex);
  if (shared().users++ == 0) shared().workers = new Workers;
}

void release_pool() {
  std::lock_guard<std::mutex> lock(shared().mutex);
  if (--shared().users > 0) return;
  delete shared().workers;
  shared().workers = nullptr;
}

void want_workers(int count) {
  if (Workers* workers = shared().workers) workers->want(count);
}
bool help_pool() {
  Workers* workers = shared().workers;
  return workers && workers->help();
}
void stir_pool() {
  if (Workers* workers = shared().workers) workers->stir();
}

void run_tasks(int64_t tasks, void (*body)(void*, int64_t), void* context) {
  const int64_t helpers = (tasks < wanted ? tasks : wanted) - 1;
  if (Workers* workers = shared().workers; workers && helpers > 0) return workers->run((int)helpers, tasks, body, context);
  for (int64_t t = 0; t < tasks; t++) body(context, t);
}

void* Scratch::take(int slot, int64_t bytes) {
  if (size[slot] < bytes) {
    free(memory[slot]);
    memory[slot] = nullptr;
    size[slot] = 0;
    const int64_t rounded = (bytes + bytes / 4 + 4095) / 4096 * 4096;
    if (posix_memalign(&memory[slot], 64, (size_t)rounded) != 0) {
      memory[slot] = nullptr;
      throw OutOfMemory{rounded};
    }
    size[slot] = rounded;
  }
  return memory[slot];
}

void Scratch::clear() {
  for (void* m : memory) free(m);
  *this = Scratch();
}

Scratch* use_scratch(Scratch* scratch) {
  Scratch* const before = active_scratch;
  active_scratch = scratch;
  return before;
}

void* scratch(int slot, int64_t bytes) { return (active_scratch ? active_scratch : &own_scratch)->take(slot, bytes); }

}  // namespace cv
