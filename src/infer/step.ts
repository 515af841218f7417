/**
 * One forward pass for several requests: their rows in one list, the logits of those that are to go on.
 *
 * T rows, N of which are sampled from, V vocabulary, E experts.
 */
import type { Decoder } from "../models/index.ts";
import type { ExpertLimits, Route, TokenLabels } from "../moe/index.ts";
import type { CachedPass } from "../nn/index.ts";
import {
  type Context,
  type Device,
  gatherRows,
  logSumExp,
  mul,
  scope,
  sub,
  type Tensor,
  tensor,
  topk,
} from "../tensor/index.ts";
import type { ExpertChoice, TokenExperts } from "./options.ts";

/** Rows of one request. */
export interface StepRows {
  readonly ids: readonly number[];
  /** One an id; null: the model does not route by label. */
  readonly labels: readonly string[] | null;
  readonly experts: ExpertChoice | null;
  /** Whether the last row is sampled from. */
  readonly sampled: boolean;
  /** At which it is, where the sum of all weights is asked for; else 1. */
  readonly temperature: number;
}

/** What a request's last row gives. */
export interface StepResult {
  /** [V], read only where asked for. */
  readonly logits_V: Float32Array | null;
  /** The highest logit, its id, and ln of the sum of e^logit. */
  readonly best: { readonly id: number; readonly logit: number; readonly logSumExp: number };
  /** The sum of e^((logit - highest) / temperature), where asked for. */
  readonly total: number | null;
  readonly routes: readonly TokenExperts[];
}

export interface StepWishes {
  /** Read whole rows of logits. */
  readonly logits: boolean;
  /** Sum up what tokens weigh at the requests' temperatures. */
  readonly totals: boolean;
  readonly routes: boolean;
}

/** What the rows of a pass read: one request's after the other's. */
export interface StepInputs {
  readonly ids_T: Tensor;
  /** Null: the model does not route by label. */
  readonly labels: TokenLabels | null;
  readonly pass: CachedPass;
  readonly rows: readonly StepRows[];
  /** [N, 1]: 1 / temperature of the rows that are sampled from; null: no totals are asked for. */
  readonly inverse_N1: Tensor | null;
}

/** What a pass leaves on the device. */
export interface StepOutputs {
  /** [N, V], where asked for. */
  readonly logits_NV: Tensor | null;
  /** [N, 1]: the highest logit of each row, and its id. */
  readonly best_N1: Tensor;
  readonly ids_N1: Tensor;
  /** [N]: ln of the sum of e^logit. */
  readonly logSumExp_N: Tensor;
  /** [N]: ln of the totals, where asked for. */
  readonly total_N: Tensor | null;
  readonly routes: readonly HeldRoute[];
}

/** The forward pass; null where no row is sampled from. The outputs are the caller's to dispose of. */
export function computeStep(
  model: Decoder,
  { ids_T, labels, pass, rows, inverse_N1 }: StepInputs,
  ctx: Context,
  wishes: StepWishes,
): StepOutputs | null {
  return scope(() => {
    const routes: HeldRoute[] = [];
    const tap: Context["tap"] = (name, layer, value) => {
      ctx.tap(name, layer, value);
      if (wishes.routes && name === "moe.route") routes.push(...heldRoute(layer, value as Route));
    };
    const device = deviceOf(model);
    const limits = limitsOf(model, device, rows);
    const listening = { ...ctx, tap };
    const { x_TD } = model.hidden(ids_T, listening, { pass, labels, limits });
    const sampled = sampledRows(rows);
    if (sampled.length === 0) return null;
    const everyRow = sampled.length === ids_T.size;
    const x_ND = everyRow ? x_TD : gatherRows(x_TD, tensor(device, Int32Array.from(sampled)));
    const logits_NV = model.logits(x_ND, listening);
    const { values, ids } = topk(logits_NV, 1);
    return {
      logits_NV: wishes.logits ? logits_NV : null,
      best_N1: values,
      ids_N1: ids,
      logSumExp_N: logSumExp(logits_NV),
      total_N: inverse_N1 && logSumExp(mul(sub(logits_NV, values), inverse_N1)),
      routes,
    };
  });
}

/** A result for each request that is sampled from. */
export async function readStep(outputs: StepOutputs, rows: readonly StepRows[]): Promise<StepResult[]> {
  const { logits_NV, best_N1, ids_N1, logSumExp_N, total_N } = outputs;
  const [best, ids, sums, totals, logits, routes] = await Promise.all([
    best_N1.data(),
    ids_N1.data(),
    logSumExp_N.data(),
    total_N?.data(),
    logits_NV && (logits_NV.data() as Promise<Float32Array>),
    Promise.all(outputs.routes.map(readRoute)),
  ]);
  const V = logits ? logits.length / ids.length : 0;
  return sampledRows(rows).map((row, n) => ({
    logits_V: logits?.subarray(n * V, (n + 1) * V) ?? null,
    best: { id: ids[n], logit: best[n], logSumExp: sums[n] },
    total: totals ? Math.exp(totals[n]) : null,
    routes: routes.map((route) => route(row)),
  }));
}

export function disposeOutputs(outputs: StepOutputs): void {
  const { logits_NV, best_N1, ids_N1, logSumExp_N, total_N, routes } = outputs;
  const ofRoutes = routes.flatMap(({ ids_TK, weights_TK }) => [ids_TK, weights_TK]);
  for (const tensor of [logits_NV, best_N1, ids_N1, logSumExp_N, total_N, ...ofRoutes]) tensor?.dispose();
}

export function deviceOf(model: Decoder): Device {
  return model.norm.weight.value.device;
}

/** The values, and the memory given back. */
export async function take(tensor: Tensor): Promise<ArrayLike<number>> {
  try {
    return await tensor.data();
  } finally {
    tensor.dispose();
  }
}

/** The last row of every request that is sampled from. */
function sampledRows(rows: readonly StepRows[]): number[] {
  let end = 0;
  return rows.flatMap(({ ids, sampled }) => {
    end += ids.length;
    return sampled ? [end - 1] : [];
  });
}

interface HeldRoute {
  readonly layer: number;
  readonly ids_TK: Tensor;
  readonly weights_TK: Tensor;
}

/** What is kept of a route; of other than token choice nothing, as it gives no expert to a token alone. */
function heldRoute(layer: number, route: Route): HeldRoute[] {
  return route.by === "token" ? [{ layer, ids_TK: route.kept_TK, weights_TK: route.weights_TK }] : [];
}

async function readRoute({ layer, ids_TK, weights_TK }: HeldRoute): Promise<(row: number) => TokenExperts> {
  const k = ids_TK.shape[1];
  const [ids, weights] = [await ids_TK.data(), await weights_TK.data()];
  return (row) => {
    const places = Array.from({ length: k }, (_, i) => row * k + i).filter((at) => ids[at] >= 0);
    return { layer, experts: places.map((at) => ids[at]), weights: places.map((at) => weights[at]) };
  };
}

/** The limits of every row, by block; null where no request has any. */
function limitsOf(
  model: Decoder,
  device: Device,
  rows: readonly StepRows[],
): ((layer: number) => ExpertLimits | null) | null {
  if (rows.every(({ experts }) => !experts)) return null;
  const active_T = rows.some(({ experts }) => experts?.active)
    ? rows.flatMap(({ ids, experts }) => ids.map(() => experts?.active ?? null))
    : null;
  const count = new Map(model.routers.map(({ layer, spec }) => [layer, spec.experts]));
  return (layer) => {
    const mask_TE = maskOf(device, layer, count.get(layer)!, rows);
    return active_T || mask_TE ? { active_T, mask_TE } : null;
  };
}

function maskOf(device: Device, layer: number, experts: number, rows: readonly StepRows[]): Tensor | null {
  const gone = rows.map((row) =>
    (row.experts?.without ?? []).filter((one) => (one.layer ?? layer) === layer).map(({ expert }) => expert),
  );
  if (gone.every((list) => list.length === 0)) return null;
  const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0);
  const mask_TE = new Float32Array(tokens * experts);
  let row = 0;
  for (const [i, { ids }] of rows.entries())
    for (let t = 0; t < ids.length; t++, row++)
      for (const expert of gone[i]) mask_TE[row * experts + expert] = Number.NEGATIVE_INFINITY;
  return tensor(device, mask_TE, [tokens, experts]);
}
