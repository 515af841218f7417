/** Conclave: mixture of experts for TypeScript. Each part is also an entry of its own: "conclave/moe", "conclave/train" ... */
export { ConclaveError, type ErrorCode } from "./errors.ts";
export {
  Engine,
  type GenerateOptions,
  generate,
  generateBatch,
  logits,
  Session,
  samplingDefaults,
  textOf,
} from "./infer/index.ts";
export { analyse, RouteCollector, reportHtml } from "./inspect/index.ts";
export { type KernelReport, type SelectOptions, selectKernels } from "./kernels/index.ts";
export { loadModel, parameterCounts, saveModel } from "./models/index.ts";
export {
  MoeLayer,
  parseRoutingSpec,
  planRows,
  Router,
  type RoutingSpec,
  SwigluExperts,
} from "./moe/index.ts";
export { type Module, materialise, Parameter } from "./nn/index.ts";
export {
  type Context,
  context,
  Device,
  Draws,
  drawSeed,
  gradients,
  type Seed,
  scope,
  Tape,
  Tensor,
  tensor,
} from "./tensor/index.ts";
export { prepareCorpus, resolveConfig, type TrainConfig, train } from "./train/index.ts";
