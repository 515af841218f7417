// Every kernel for one instruction set, and the table that finds them. Compiled once a set, with -DCV_ISA=avx2
// -DCV_WIDTH=8 and the like; nothing of it may be shared between sets, or an old machine could meet a new instruction.
#include "abi.h"
#include "simd.h"

#include "adamw.cc"
#include "attention.cc"
#include "attention_grad.cc"
#include "elementwise.cc"
#include "gemm.cc"
#include "linear.cc"
#include "memory.cc"
#include "norm.cc"
#include "paged_attention.cc"
#include "pick.cc"
#include "reduce.cc"
#include "rope.cc"
#include "rows.cc"
#include "swiglu.cc"

namespace CV_ISA {

typedef void (*Kernel)(const double* slots);

// In the order of the abi table. The argument structs are doubles only, so the slots are read in place.
extern const Kernel kernels[];
const Kernel kernels[] = {
#define CV_ENTRY(name, Args) [](const double* slots) { name(*reinterpret_cast<const cv::Args*>(slots)); },
    CV_KERNELS(CV_ENTRY)
#undef CV_ENTRY
};

}  // namespace CV_ISA
