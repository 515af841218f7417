import { type RouteFigures, spread } from "./figures.ts";

/** What is reported of one mixture layer, over one pass or many. E experts. */
export interface LayerFigures {
  /** [E]: places each expert was chosen for, before capacity. */
  readonly counts: readonly number[];
  /** The largest count over the mean one. */
  readonly maxOverMean: number;
  /** Standard deviation of the counts over their mean. */
  readonly cv: number;
  /** Mean entropy of a token's probabilities over the experts, nats. */
  readonly entropy: number;
  /** Share of the places dropped for want of capacity (in expert choice: of tokens that no expert took). */
  readonly dropped: number;
}

/** Adds up the figures of one layer over passes: counts are summed, the rest is the mean over tokens. At least one pass. */
export function layerFigures(passes: readonly RouteFigures[]): LayerFigures {
  const sum = (value: (figures: RouteFigures) => number): number =>
    passes.reduce((total, figures) => total + value(figures), 0);
  const counts = passes[0].counts.map((_, expert) => sum((figures) => figures.counts[expert]));
  const tokens = Math.max(
    1,
    sum((figures) => figures.tokens),
  );
  return {
    counts,
    ...spread(counts),
    entropy: sum((figures) => figures.tokens * figures.entropy) / tokens,
    dropped: sum((figures) => figures.tokens * figures.droppedShare) / tokens,
  };
}
