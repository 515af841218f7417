// What the native host's other parts ask of its pool, beyond runtime.h.
#pragma once
#include "runtime.h"

namespace cv {

void set_threads(int count);     // for the kernels this thread runs from now on
void want_workers(int count);    // starts those that are missing; fewer come where the machine gives no more
bool help_pool();                // takes part in a job that is open; returns whether there was one
void stir_pool();                // workers look for calls in queues: see queue.h
void retain_pool();              // workers stay while somebody holds them
void release_pool();

// One step of waiting, the `waits`-th in a row: a worker that lost its core may need ours.
void pause(int waits);
// As long as workers spin before they sleep, in steps of waiting: about 30 microseconds.
extern const int spins;

// Memory for scratch(), kept from one kernel to the next.
struct Scratch {
  void* memory[8] = {};
  int64_t size[8] = {};

  void* take(int slot, int64_t bytes);
  void clear();
};
// Makes scratch() of this thread take from `scratch`; returns what it took from before.
Scratch* use_scratch(Scratch* scratch);

}  // namespace cv
