// Every kernel for one instruction set, and the table that finds them. Compiled once a set, with -DCV_ISA=avx2
// -DCV_WIDTH=8 and the like; nothing of it may be shared between sets, or an old machine could meet a new instruction.
#include "abi.h"
#include "simd.h"

// With -DCV_BASE=avx512: only the products are this set's own, all other kernels are that set's.
#ifdef CV_BASE
#include "gemm.cc"
#include "linear.cc"
namespace CV_BASE { extern void (*const kernels[])(const double* slots); }
#else
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
#include "plan.cc"
#include "random.cc"
#include "reduce.cc"
#include "rope.cc"
#include "routing.cc"
#include "rows.cc"
#include "stored_forms.cc"
#include "swiglu.cc"
#endif

namespace CV_ISA {

typedef void (*Kernel)(const double* slots);

// In the order of the abi table. The argument structs are doubles only, so the slots are read in place.
extern const Kernel kernels[];

#ifdef CV_BASE
#define CV_DECLARE(name, Args) void name(const cv::Args&);
CV_KERNELS(CV_DECLARE)
#define CV_PLACE(name, Args) at_##name,
enum Place { CV_KERNELS(CV_PLACE) };

constexpr const char* products[] = {"gemm",           "grouped_gemm",        "grouped_gemm_outer",
                                    "grouped_swiglu", "grouped_swiglu_grad", "linear"};
constexpr bool is_product(const char* name) {
  for (const char* own : products)
    if (__builtin_strcmp(name, own) == 0) return true;
  return false;
}

#define CV_ENTRY(name, Args)                                                                 \
  [](const double* slots) {                                                                  \
    if constexpr (is_product(#name)) name(*reinterpret_cast<const cv::Args*>(slots));        \
    else CV_BASE::kernels[at_##name](slots);                                                 \
  },
#else
#define CV_ENTRY(name, Args) [](const double* slots) { name(*reinterpret_cast<const cv::Args*>(slots)); },
#endif

const Kernel kernels[] = {CV_KERNELS(CV_ENTRY)};

}  // namespace CV_ISA
