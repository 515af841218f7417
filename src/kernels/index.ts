/** Kernels: one interface, three implementations. */
export { createNativeKernels, type NativeOptions } from "#threads";
export * from "./abi.ts";
export type { Kernels, Recording } from "./kernels.ts";
export { createReferenceKernels } from "./reference/index.ts";
export {
  type KernelAttempt,
  type KernelReport,
  type KernelsName,
  type SelectOptions,
  selectKernels,
} from "./select.ts";
export { createWasmKernels, type WasmOptions } from "./wasm.ts";
