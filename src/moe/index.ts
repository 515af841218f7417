export { type Alarm, CollapseAlarm } from "./alarm.ts";
export {
  balanceLoss,
  importanceLoss,
  loadLoss,
  marginalEntropy,
  orthogonalityLoss,
  smoothLoad,
  tokenEntropy,
  zLoss,
} from "./balance.ts";
export { SelectionBias } from "./bias.ts";
export { type Causality, causalityNotes, causalityOf, furthest } from "./causality.ts";
export {
  ClampedSwigluExperts,
  type Experts,
  type ExpertsOptions,
  GeluExperts,
  ReluExperts,
  SwigluExperts,
} from "./experts.ts";
export { measureRoute, type RouteFigures, type RouteMeasure, routeFigures, spread } from "./figures.ts";
export { CosineGate, createGate, type Gate, HashGate, LinearGate, MlpGate } from "./gate.ts";
export { type JsonSchema, lossJsonSchema, routingJsonSchema, simulationJsonSchema } from "./json-schema.ts";
export { applyExperts, MoeLayer, type MoeLayerOptions, type MoeOutput } from "./layer.ts";
export { checkActive, type ExpertLimits } from "./limits.ts";
export { type LayerFigures, layerFigures } from "./load.ts";
export {
  type LossName,
  type LossSpec,
  lossNames,
  lossSpecSchema,
  misfitOf,
  noLosses,
  parseLossSpec,
  weightOf,
  whyNot,
} from "./loss-spec.ts";
export { choiceCounts, importanceOf, isPooled, lossOf, type RouteLosses, routeLosses } from "./losses.ts";
export { addNoise, fixedStd, GaussianNoise, jitter, type NoisyLogits } from "./noise.ts";
export { combine, dispatch, type Plan, placeWeights, planRows, rowWeights, weighRows } from "./plan.ts";
export { asPartOf, type LayerPool, wholeBatch } from "./pool.ts";
export {
  type ExpertRoute,
  probabilities,
  type Route,
  type RouteInputs,
  routeLogits,
  type SoftRoute,
  score,
  type TokenRoute,
} from "./route.ts";
export { type RouteOptions, Router, type RouterOptions } from "./router.ts";
export {
  type Fault,
  firstFault,
  firstIssue,
  parseRoutingSpec,
  routingSpecSchema,
  type SpecSource,
  seedSchema,
} from "./schema.ts";
export { SharedExpert, type SharedExpertOptions } from "./shared.ts";
export {
  type SimulatedChoice,
  type SimulatedRoute,
  type SimulatedSoft,
  type SimulatedTokens,
  type SimulationInput,
  simulateRoute,
} from "./simulate.ts";
export {
  actingBound,
  activeShare,
  type BiasSpec,
  type CapacityBound,
  type CapacitySpec,
  columnsOf,
  expertChoiceCapacity,
  type GateSpec,
  type GroupsSpec,
  type NoiseSpec,
  picksOf,
  placesOf,
  type RoutingSpec,
  type SelectSpec,
} from "./spec.ts";
export { whyUntrainable } from "./trainable.ts";
export { asTokenLabels, type TokenLabels, tokenLabels, type Units } from "./units.ts";
