import { picksOf, type RoutingSpec } from "./spec.ts";

/**
 * What a token's route depends on besides the token and those before it, outside training.
 *
 * - "causal": nothing. A text can be read token by token, beside any others.
 * - "batch": what else is in the batch. An expert's fixed number of places goes to whoever comes first.
 * - "future": tokens after it too. Expert choice and soft routing compare a token with all others; a place taken by score or by a second
 *   choice may be a later token's, and a capacity that follows from a factor grows with the text.
 */
export type Causality = "causal" | "batch" | "future";

/** In order of what a token may depend on. */
const byReach: readonly Causality[] = ["causal", "batch", "future"];

/** The causality of routing by `spec` at inference. Trainer, evaluation, reports and generation read it here. */
export function causalityOf(spec: RoutingSpec): Causality {
  const { select, capacity } = spec;
  if (select.by === "expert" || select.by === "soft") return "future";
  if (!capacity || capacity.evaluation === null) return "causal";
  const firstComeFirstServed = capacity.priority === "position" && picksOf(spec) === 1;
  return firstComeFirstServed && "places" in capacity ? "batch" : "future";
}

/** The causality of a model with these routers: that of the one that reaches furthest; "causal" without any. */
export function furthest(causalities: readonly Causality[]): Causality {
  return byReach[Math.max(0, ...causalities.map((one) => byReach.indexOf(one)))];
}

/** What to tell a reader about a model that is not causal: why it is not, and why a figure over whole windows is not its own. */
export const causalityNotes: Readonly<
  Record<Exclude<Causality, "causal">, { readonly why: string; readonly whole: string }>
> = {
  future: {
    why: "its routers look at later tokens",
    whole: "a window that is read whole shows the routers what comes next",
  },
  batch: {
    why: "its routers give places to the tokens that come first in the batch",
    whole: "in a batch of windows, tokens of other texts take places first",
  },
};
