/** Conclave: mixture of experts for TypeScript. Each part is also an entry of its own: "conclave/moe", "conclave/train" ... */
export { ConclaveError, type ErrorCode } from "./errors.ts";
export { type KernelReport, selectKernels, type SelectOptions } from "./kernels/index.ts";
export { generate, type GenerateOptions, logits } from "./infer/index.ts";
export { analyse, reportHtml, RouteCollector } from "./inspect/index.ts";
export { loadModel, parameterCounts, saveModel } from "./models/index.ts";
export { MoeLayer, parseRoutingSpec, planRows, Router, type RoutingSpec, SwigluExperts } from "./moe/index.ts";
export { materialise, type Module, Parameter } from "./nn/index.ts";
export { type Context, context, Device, gradients, scope, Tape, Tensor, tensor } from "./tensor/index.ts";
export { prepareCorpus, resolveConfig, train, type TrainConfig } from "./train/index.ts";
