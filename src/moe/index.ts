export { type Alarm, CollapseAlarm } from "./alarm.ts";
export {
  balanceLoss,
  choiceCounts,
  importanceLoss,
  importanceOf,
  type LossName,
  type LossSpec,
  loadLoss,
  lossNames,
  lossOf,
  lossSpecSchema,
  marginalEntropy,
  misfitOf,
  noLosses,
  orthogonalityLoss,
  parseLossSpec,
  type RouteLosses,
  routeLosses,
  smoothLoad,
  tokenEntropy,
  whyNot,
  zLoss,
} from "./balance.ts";
export { SelectionBias } from "./bias.ts";
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
export { applyExperts, MoeLayer, type MoeLayerOptions, type MoeOutput } from "./layer.ts";
export { checkActive, type ExpertLimits } from "./limits.ts";
export { type LayerFigures, layerFigures } from "./load.ts";
export { addNoise, GaussianNoise, jitter, type NoisyLogits } from "./noise.ts";
export { combine, dispatch, type Plan, placeWeights, planRows, rowWeights, weighRows } from "./plan.ts";
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
export { firstFault, firstIssue, parseRoutingSpec, routingSpecSchema } from "./schema.ts";
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
  activeShare,
  type BiasSpec,
  type CapacitySpec,
  capacityOf,
  columnsOf,
  expertChoiceCapacity,
  type GateSpec,
  type GroupsSpec,
  type NoiseSpec,
  picksOf,
  type RoutingSpec,
  type SelectSpec,
} from "./spec.ts";
