import { fail } from "../errors.ts";

/**
 * The collapse alarm: notices, from the load of each step, that experts have starved or that a layer sends all its
 * tokens the same way.
 */

/** Loads are averaged over about this many steps: a single batch of one kind of text is no collapse. */
const memorySteps = 50;
/** An expert below this share of an even load has starved: at 1/20 it learns twenty times slower than its even twin, and
 *  what it does not learn it is not chosen for. */
const starvedShare = 0.05;
/** It has recovered above twice that; the gap keeps the alarm from ringing at every crossing. */
const recoveredShare = 0.1;
/** A layer that sends every token to the same K experts uses exactly K (as exp of the entropy of its load). Half an expert
 *  more than that, and it is still making next to no choice. */
const effectiveMargin = 0.5;

export type Alarm =
  | {
      readonly kind: "starved";
      readonly step: number;
      readonly layer: number;
      readonly experts: readonly number[];
      readonly message: string;
    }
  | {
      readonly kind: "collapsed";
      readonly step: number;
      readonly layer: number;
      readonly effective: number;
      readonly message: string;
    };

interface LayerState {
  readonly load: number[];
  steps: number;
  readonly starved: Set<number>;
  collapsed: boolean;
}

/** Fed each layer's counts after each step; says once when something goes wrong, and again if it does so after recovering. */
export class CollapseAlarm {
  private readonly layers = new Map<number, LayerState>();
  private readonly experts: number;
  private readonly picks: number;

  /** `picks` is how many experts a token takes (K). */
  constructor(options: { experts: number; picks: number }) {
    this.experts = options.experts;
    this.picks = options.picks;
  }

  /** The alarms that `counts` (places an expert, before capacity) raise. None are judged in a layer's first {@link memorySteps}. */
  observe(step: number, layer: number, counts: readonly number[]): Alarm[] {
    if (counts.length !== this.experts)
      fail("shape", `collapse alarm: ${counts.length} counts for ${this.experts} experts`);
    const state = this.stateOf(layer);
    const places = counts.reduce((sum, n) => sum + n, 0);
    if (places === 0) return [];
    state.steps++;
    // A plain mean until the memory is full, an exponential one after.
    const weight = 1 / Math.min(state.steps, memorySteps);
    counts.forEach((n, e) => {
      state.load[e] += weight * (n / places - state.load[e]);
    });
    return state.steps < memorySteps
      ? []
      : [...this.starved(step, layer, state), ...this.collapsed(step, layer, state)];
  }

  private starved(step: number, layer: number, state: LayerState): Alarm[] {
    const fresh: number[] = [];
    state.load.forEach((share, e) => {
      const ofEven = share * this.experts;
      if (ofEven > recoveredShare) state.starved.delete(e);
      else if (ofEven < starvedShare && !state.starved.has(e)) {
        state.starved.add(e);
        fresh.push(e);
      }
    });
    if (fresh.length === 0) return [];
    const who = `expert${fresh.length > 1 ? "s" : ""} ${fresh.join(", ")}`;
    const message = `layer ${layer}: ${who} got less than ${starvedShare * 100} % of an even load over the last ${memorySteps} steps`;
    return [{ kind: "starved", step, layer, experts: fresh, message }];
  }

  private collapsed(step: number, layer: number, state: LayerState): Alarm[] {
    if (this.picks + effectiveMargin >= this.experts) return []; // no choice to make
    const effective = Math.exp(-state.load.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0));
    const was = state.collapsed;
    state.collapsed = effective < this.picks + effectiveMargin;
    if (was || !state.collapsed) return [];
    const message = `layer ${layer}: nearly all tokens take the same ${this.picks} of ${this.experts} experts (effective ${effective.toFixed(2)}) over the last ${memorySteps} steps`;
    return [{ kind: "collapsed", step, layer, effective, message }];
  }

  private stateOf(layer: number): LayerState {
    let state = this.layers.get(layer);
    if (!state) {
      state = {
        load: new Array<number>(this.experts).fill(0),
        steps: 0,
        starved: new Set(),
        collapsed: false,
      };
      this.layers.set(layer, state);
    }
    return state;
  }
}
