/** How evenly a layer's experts were used over many batches. E experts. */
import { type LayerFigures, layerFigures, type RouteFigures } from "../moe/index.ts";

export interface EvaluatedLayer extends LayerFigures {
  /** [domain][E]: the counts of each domain's tokens. */
  readonly countsByDomain: readonly (readonly number[])[];
}

/** Sums the figures of batches. */
export class LoadSum {
  private readonly countsByDomain: number[][];
  private readonly batches: RouteFigures[] = [];

  constructor(experts: number, domains: number) {
    this.countsByDomain = Array.from({ length: domains }, () => new Array<number>(experts).fill(0));
  }

  /** Adds a batch of one domain. */
  add(domain: number, figures: RouteFigures): void {
    figures.counts.forEach((count, expert) => {
      this.countsByDomain[domain][expert] += count;
    });
    this.batches.push(figures);
  }

  figures(): EvaluatedLayer {
    return { ...layerFigures(this.batches), countsByDomain: this.countsByDomain };
  }
}
