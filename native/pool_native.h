// What the N-API shim asks of the native pool, beyond runtime.h.
#pragma once
#include "runtime.h"

namespace cv {

void set_threads(int count);  // for the kernels this thread calls from now on
void retain_pool();           // workers start with the first kernel that needs them
void release_pool();          // and stop when the last user lets go

}  // namespace cv
