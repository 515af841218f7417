import {
  type LayerFigures,
  layerFigures,
  measureRoute,
  type Route,
  type RouteFigures,
  type RouteMeasure,
  routeFigures,
} from "../moe/index.ts";
import { keep, type Tap, type Tensor } from "../tensor/index.ts";
import type { LayerChoices } from "./specialise.ts";

/** What {@link RouteCollector.take} gives of one forward pass, a layer each. */
export interface CollectedPass {
  /** The number of each one's block: blocks without experts have none. */
  readonly layers: readonly number[];
  readonly choices: readonly LayerChoices[];
  readonly figures: readonly RouteFigures[];
}

interface Held {
  readonly layer: number;
  readonly route: Route;
  readonly measure: RouteMeasure;
  readonly ids: Tensor;
  readonly weights: Tensor;
}

/**
 * Listens to a model's routes. Give `tap` to the context of a forward pass, then `take()` what went by:
 *
 *     const collector = new RouteCollector();
 *     scope(() => void model.forward(ids, context({ tap: collector.tap })));
 *     const { choices } = await collector.take();
 */
export class RouteCollector {
  private held: Held[] = [];

  readonly tap: Tap = (name, layer, value) => {
    if (name === "moe.route") this.held.push({ layer, ...hold(value as Route) });
  };

  /** Reads and forgets the routes of the passes since the last call; layers in order of the pass. */
  async take(): Promise<CollectedPass> {
    const held = this.held;
    this.held = [];
    const choices: LayerChoices[] = [];
    const figures: RouteFigures[] = [];
    for (const { route, measure, ids, weights } of held) {
      const host = { ids: (await ids.data()) as Int32Array, weights: (await weights.data()) as Float32Array };
      choices.push(hostChoices(route, host.ids, host.weights));
      figures.push(await routeFigures(measure));
      for (const tensor of [ids, weights, measure.packed]) tensor.dispose();
    }
    return { layers: held.map(({ layer }) => layer), choices, figures };
  }
}

/** The figures of each layer over several passes. */
export function balanceOf(passes: readonly CollectedPass["figures"][]): LayerFigures[] {
  const layers = passes[0] ?? [];
  return layers.map((_, layer) => layerFigures(passes.map((figures) => figures[layer])));
}

/** Handles of our own on the tensors of a route, which else end with its scope. */
function hold(route: Route): Omit<Held, "layer"> {
  const held = (tensor: Tensor) => keep(tensor.view(tensor.shape));
  const measure = measureRoute(route);
  keep(measure.packed);
  if (route.by === "token")
    return { route, measure, ids: held(route.kept_TK), weights: held(route.intended_TK) };
  if (route.by === "expert")
    return { route, measure, ids: held(route.row_TE), weights: held(route.weights_TE) };
  return { route, measure, ids: held(route.combine_TN), weights: held(route.combine_TN) };
}

function hostChoices(route: Route, ids: Int32Array, weights: Float32Array): LayerChoices {
  const { experts } = route.spec;
  if (route.by === "token")
    return { experts, k: ids.length / route.logits_TE.shape[0], ids_TK: ids, weights_TK: weights };
  if (route.by === "expert")
    return strongestFirst(experts, (place) => (ids[place] >= 0 ? weights[place] : 0), ids.length / experts);
  const slots = route.combine_TN.shape[1] / experts;
  const mass = (place: number) => total(weights.subarray(place * slots, (place + 1) * slots));
  return firstOnly(strongestFirst(experts, mass, route.combine_TN.shape[0]));
}

/** Each token's experts by falling weight; those with no weight are absent. */
function strongestFirst(experts: number, weightOf: (place: number) => number, tokens: number): LayerChoices {
  const ids_TK = new Int32Array(tokens * experts).fill(-1);
  const weights_TK = new Float32Array(tokens * experts);
  for (let t = 0; t < tokens; t++) {
    const found = Array.from({ length: experts }, (_, e) => [e, weightOf(t * experts + e)]).filter(
      ([, w]) => w > 0,
    );
    found.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    found.forEach(([e, w], rank) => {
      ids_TK[t * experts + rank] = e;
      weights_TK[t * experts + rank] = w;
    });
  }
  return { experts, k: experts, ids_TK, weights_TK };
}

/** Soft routing gives every token to every expert: what it is shown by is the expert it takes most from. */
function firstOnly({ experts, k, ids_TK, weights_TK }: LayerChoices): LayerChoices {
  const pick = (_: unknown, t: number) => t * k;
  const places = Array.from({ length: ids_TK.length / k }, pick);
  return {
    experts,
    k: 1,
    ids_TK: Int32Array.from(places, (p) => ids_TK[p]),
    weights_TK: Float32Array.from(places, (p) => weights_TK[p]),
  };
}

function total(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}
