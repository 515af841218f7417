/** How evenly a layer's experts were used, for one step or summed over many batches. E experts. */
import { spread } from "../moe/figures.ts";
import type { RouteFigures } from "../moe/index.ts";

/** Figures of one mixture layer. */
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

/** The figures of one step. */
export function layerFigures({ counts, maxOverMean, cv, entropy, droppedShare }: RouteFigures): LayerFigures {
  return { counts, maxOverMean, cv, entropy, dropped: droppedShare };
}

export interface EvaluatedLayer extends LayerFigures {
  /** [domain][E]: the counts of each domain's tokens. */
  readonly countsByDomain: readonly (readonly number[])[];
}

/** Sums the figures of batches. */
export class LoadSum {
  private readonly countsByDomain: number[][];
  private tokens = 0;
  private entropy = 0;
  private dropped = 0;

  constructor(experts: number, domains: number) {
    this.countsByDomain = Array.from({ length: domains }, () => new Array<number>(experts).fill(0));
  }

  /** Adds a batch of one domain. */
  add(domain: number, figures: RouteFigures): void {
    figures.counts.forEach((count, expert) => {
      this.countsByDomain[domain][expert] += count;
    });
    this.tokens += figures.tokens;
    this.entropy += figures.tokens * figures.entropy;
    this.dropped += figures.tokens * figures.droppedShare;
  }

  figures(): EvaluatedLayer {
    const { countsByDomain, tokens } = this;
    const counts = countsByDomain[0].map((_, expert) =>
      countsByDomain.reduce((sum, row) => sum + row[expert], 0),
    );
    return {
      counts,
      ...spread(counts),
      entropy: this.entropy / tokens,
      dropped: this.dropped / tokens,
      countsByDomain,
    };
  }
}
