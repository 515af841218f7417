export { type AnalyseOptions, type Analysis, analyse, type TextToInspect } from "./analyse.ts";
export { balanceOf, type CollectedPass, RouteCollector } from "./collect.ts";
export { type TokenKind, tokenKind, tokenKinds } from "./kinds.ts";
export type { Curve, LoadOverTime, Passage, ReportData } from "./report/data.ts";
export { reportHtml } from "./report/page.ts";
export {
  type ExpertProfile,
  type LayerChoices,
  type LayerProfile,
  logLikelihoodRatio,
  mutualInformation,
  type Specialisation,
  Specialist,
  type TypicalToken,
} from "./specialise.ts";
