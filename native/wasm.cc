// The WebAssembly shim: cv_call(kernel, slots) on a module built for one instruction set. See napi.cc for the slots.
namespace CV_ISA { extern void (*const kernels[])(const double* slots); }

extern "C" __attribute__((export_name("cv_call"))) void cv_call(int kernel, const double* slots) { CV_ISA::kernels[kernel](slots); }
