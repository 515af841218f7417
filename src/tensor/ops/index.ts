export { swiglu, swigluClamped } from "./activation.ts";
export { type AttentionOptions, attention } from "./attention.ts";
export * from "./elementwise.ts";
export { type GroupedMatmulOptions, groupBias, groupedMatmul } from "./grouped.ts";
export { type LinearOptions, linear } from "./linear.ts";
export { crossEntropy } from "./loss.ts";
export { type MatmulOptions, matmul } from "./matmul.ts";
export { layerNorm, rmsNorm } from "./norm.ts";
export { type AdamwStep, adamwStep, clipScale, sumSquares } from "./optimizer.ts";
export {
  appendPages,
  type PagedAttentionOptions,
  type PagedRows,
  pagedAttention,
} from "./paged-attention.ts";
export { type RandomStream, randomNormal, randomUniform } from "./random.ts";
export { max, mean, min, type ReduceOptions, sum } from "./reduce.ts";
export { type RopeOptions, type RopeTable, rope, ropeFrequencies, ropeTable } from "./rope.ts";
export {
  assignCapacity,
  type CapacityOptions,
  type GroupLimit,
  invertChoice,
  keepGroups,
  ruleOut,
  selectExperts,
} from "./routing.ts";
export { combineRows, dispatchRows, gatherRows, scatterAddRows } from "./rows.ts";
export { cast, concat, expand, permute, reshape, slice, transpose } from "./shape.ts";
export { logSumExp, softmax, takeAlong, topk } from "./softmax.ts";
export { mxfp4Rows, scaledE4m3 } from "./stored-forms.ts";
export { swigluExperts } from "./swiglu-experts.ts";
