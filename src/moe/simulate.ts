import { z } from "zod";
import { fail } from "../errors.ts";
import { type Device, reshape, scope, type Tensor, tensor } from "../tensor/index.ts";
import { type LossName, lossNames, lossOf, whyNot } from "./balance.ts";
import { measureRoute, type RouteFigures, routeFigures } from "./figures.ts";
import { addNoise } from "./noise.ts";
import { rowWeights } from "./plan.ts";
import { type Route, routeLogits } from "./route.ts";
import { firstIssue } from "./schema.ts";
import { columnsOf, type RoutingSpec } from "./spec.ts";

/**
 * The routing simulator: the code that models run, on logits from a file.
 *
 * T tokens, E experts, K picks a token, C capacity, N = E * slots.
 */

type Matrix = readonly (readonly number[])[];

export interface SimulationInput {
  /** [T][E], or [T][E*slots] for soft routing. */
  readonly logits: Matrix;
  /** [E]: the state of a selection-only bias. */
  readonly bias?: readonly number[];
  /** [T][E]: added to the logits, times `noiseStd` where that is given. */
  readonly noise?: Matrix;
  /** [T][E]: the standard deviation of the noise, for the load loss; 1 when absent. */
  readonly noiseStd?: Matrix;
  /** [T]: for label-level routing. */
  readonly labels?: readonly string[];
}

interface SimulatedCommon {
  /** Every loss that means something for the spec, unweighted; not orthogonality, which is of the gate. */
  readonly losses: Readonly<Partial<Record<LossName, number>>>;
  readonly metrics: Pick<
    RouteFigures,
    "maxOverMean" | "cv" | "entropy" | "marginalEntropy" | "droppedShare" | "unserved"
  >;
}

export interface SimulatedTokens extends SimulatedCommon {
  /** A token's experts in rank order, -1 for a dropped place; shorter where a token has fewer than K. */
  readonly experts: number[][];
  readonly weights: number[][];
  readonly counts: readonly number[];
  readonly kept: readonly number[];
  readonly capacity: number | null;
  readonly dropped: number;
}

export interface SimulatedChoice extends SimulatedCommon {
  /** [E][C]: the tokens each expert takes, best first. */
  readonly tokens: number[][];
  readonly weights: number[][];
  readonly capacity: number;
}

export interface SimulatedSoft extends SimulatedCommon {
  /** [T][N] */
  readonly dispatch: number[][];
  /** [T][N] */
  readonly combine: number[][];
}

export type SimulatedRoute = SimulatedTokens | SimulatedChoice | SimulatedSoft;

/** What f32 can hold; beyond it a logit would be infinite. */
const largest = 3.4e38;
const real = z.number().min(-largest).max(largest);
const matrix = z.array(z.array(real));
const inputSchema: z.ZodType<SimulationInput> = z.strictObject({
  logits: matrix.min(1),
  bias: z.array(real).optional(),
  noise: matrix.optional(),
  noiseStd: matrix.optional(),
  labels: z.array(z.string()).optional(),
});

/** Routes logits by `spec`. `json` is a {@link SimulationInput}; what is wrong with it is an error of code "spec" that names the key. */
export async function simulateRoute(
  device: Device,
  spec: RoutingSpec,
  json: unknown,
): Promise<SimulatedRoute> {
  const parsed = inputSchema.safeParse(json);
  if (!parsed.success) fail("spec", `route input: ${firstIssue(parsed.error)}`);
  checkInput(spec, parsed.data);
  const { measure, losses, read, kept } = scope(() => {
    const route = runSpec(device, spec, parsed.data);
    const losses = lossNames
      .filter((name) => name !== "orthogonality" && !whyNot(name, spec))
      .map((name) => [name, lossOf(name, route, null)] as const);
    return { measure: measureRoute(route), losses, ...reading(route) };
  });
  const figures = await routeFigures(measure);
  const { maxOverMean, cv, entropy, marginalEntropy, droppedShare, unserved } = figures;
  const values = await Promise.all(losses.map(async ([name, loss]) => [name, await loss.item()] as const));
  const result = await read(figures, {
    losses: Object.fromEntries(values),
    metrics: { maxOverMean, cv, entropy, marginalEntropy, droppedShare, unserved },
  });
  for (const spent of [measure.packed, ...losses.map(([, loss]) => loss), ...kept]) spent.dispose();
  return result;
}

function runSpec(
  device: Device,
  spec: RoutingSpec,
  { logits, bias, noise, noiseStd, labels }: SimulationInput,
): Route {
  const onDevice = (rows: Matrix): Tensor => tensor(device, rows.flat(), [rows.length, rows[0].length]);
  const clean_TE = onDevice(logits);
  const std = noiseStd ?? logits.map((row) => row.map(() => 1));
  const noisy = noise ? addNoise(clean_TE, onDevice(std), onDevice(noise)) : null;
  return routeLogits(spec, noisy?.noisy_TE ?? clean_TE, {
    noise: noisy,
    bias_E: bias ? tensor(device, bias) : null,
    labels: labels ?? null,
  });
}

/** What to read of a route once its scope has ended, and the tensors that this takes. */
interface Reading {
  readonly kept: readonly Tensor[];
  readonly read: (figures: RouteFigures, common: SimulatedCommon) => Promise<SimulatedRoute>;
}

function reading(route: Route): Reading {
  switch (route.by) {
    case "token": {
      const { ids_TK, kept_TK, weights_TK, capacity } = route;
      return {
        kept: [ids_TK, kept_TK, weights_TK],
        read: async ({ counts, kept, dropped }, common) => {
          const [ids, ends, weights] = await Promise.all([ids_TK, kept_TK, weights_TK].map(rowsOf));
          const placed =
            (t: number) =>
            (_: number, rank: number): boolean =>
              ids[t][rank] >= 0;
          return {
            experts: ends.map((row, t) => row.filter(placed(t))),
            weights: weights.map((row, t) => row.filter(placed(t))),
            counts,
            kept,
            capacity,
            dropped,
            ...common,
          };
        },
      };
    }
    case "expert": {
      const { chosen_EC, capacity } = route;
      const weights_EC = reshape(rowWeights(route), chosen_EC.shape);
      return {
        kept: [chosen_EC, weights_EC],
        read: async (_, common) => ({
          tokens: await rowsOf(chosen_EC),
          weights: await rowsOf(weights_EC),
          capacity,
          ...common,
        }),
      };
    }
    case "soft": {
      const { dispatch_TN, combine_TN } = route;
      return {
        kept: [dispatch_TN, combine_TN],
        read: async (_, common) => ({
          dispatch: await rowsOf(dispatch_TN),
          combine: await rowsOf(combine_TN),
          ...common,
        }),
      };
    }
  }
}

async function rowsOf(t: Tensor): Promise<number[][]> {
  const values = Array.from(await t.data());
  const width = t.shape[1];
  return Array.from({ length: t.shape[0] }, (_, row) => values.slice(row * width, (row + 1) * width));
}

function checkInput(spec: RoutingSpec, input: SimulationInput): void {
  const columns = columnsOf(spec);
  const tokens = input.logits.length;
  for (const key of ["logits", "noise", "noiseStd"] as const) {
    const rows = input[key];
    if (!rows) continue;
    if (rows.length !== tokens) fail("spec", `route input: ${key}: ${rows.length} rows for ${tokens} tokens`);
    rows.forEach((row, t) => {
      if (row.length !== columns)
        fail("spec", `route input: ${key}.${t}: ${row.length} numbers where the spec takes ${columns}`);
    });
  }
  if (input.bias && !spec.bias) fail("spec", "route input: bias: the spec has none");
  if (input.bias && input.bias.length !== columns)
    fail("spec", `route input: bias: ${input.bias.length} numbers for ${columns} experts`);
  if (input.noise && spec.noise?.kind !== "gaussian")
    fail("spec", "route input: noise: the spec has no gaussian noise");
  if (input.noiseStd && !input.noise) fail("spec", "route input: noiseStd: there is no noise for it");
  if (input.labels && spec.select.by !== "label")
    fail("spec", `route input: labels: the spec selects by ${spec.select.by}`);
  if (!input.labels && spec.select.by === "label")
    fail("spec", "route input: labels: missing, and the spec selects by label");
}
