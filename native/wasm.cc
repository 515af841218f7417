// The WebAssembly shim: cv_call(kernel, slots) on a module built for one instruction set. See napi.cc for the slots.
#include "abi.h"

namespace CV_ISA { extern void (*const kernels[])(const double* slots); }

extern "C" __attribute__((export_name("cv_call"))) void cv_call(int kernel, const double* slots) { CV_ISA::kernels[kernel](slots); }

// The hash of the abi table this module was built from.
extern "C" __attribute__((export_name("cv_abi"))) uint32_t cv_abi() { return cv::kAbiHash; }
