import { z } from "zod";
import { fail } from "../errors.ts";
import { type Device, reshape, scope, type Tensor, tensor } from "../tensor/index.ts";
import { measureRoute, type RouteFigures, routeFigures } from "./figures.ts";
import type { ExpertLimits } from "./limits.ts";
import {
  type LossName,
  type LossSpec,
  lossNames,
  lossSpecSchema,
  misfitOf,
  noLosses,
  whyNot,
} from "./loss-spec.ts";
import { lossOf } from "./losses.ts";
import { addNoise, fixedStd, type NoisyLogits } from "./noise.ts";
import { rowWeights } from "./plan.ts";
import { type Route, routeLogits } from "./route.ts";
import { firstIssue } from "./schema.ts";
import { columnsOf, type RoutingSpec } from "./spec.ts";
import { tokenLabels } from "./units.ts";

/**
 * The routing simulator: the code that models run, on logits from a file.
 *
 * T tokens, E experts, K picks a token, C capacity, N = E * slots.
 */

type Matrix = readonly (readonly number[])[];

export interface SimulationInput {
  /** [T][E], or [T][E*slots] for soft routing. */
  readonly logits: Matrix;
  /** False: as at inference, where a capacity acts only if the spec says so. Default true. */
  readonly training?: boolean;
  /** [E]: the state of a selection-only bias. */
  readonly bias?: readonly number[];
  /** [T][E]: added to the logits, times `noiseStd` where that is given. */
  readonly noise?: Matrix;
  /** [T][E]: the standard deviation of the noise, for the load loss; 1 when absent. */
  readonly noiseStd?: Matrix;
  /** [T]: for label-level routing, and losses by label. */
  readonly labels?: readonly string[];
  /** S, tokens a sequence. Default: all. */
  readonly sequence?: number;
  /** [T]: the highest is given its place first, where capacity.priority is "given". */
  readonly priority?: readonly number[];
  /** [T]: experts that each token's request rules out. */
  readonly without?: readonly (readonly number[])[];
  /** Which kind of each loss is computed; its weight changes nothing here. */
  readonly losses?: LossSpec;
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
  training: z.boolean().optional(),
  labels: z.array(z.string()).optional(),
  sequence: z.int().min(1).optional(),
  priority: z.array(real).optional(),
  without: z.array(z.array(z.int().min(0))).optional(),
  losses: lossSpecSchema.optional(),
});

/** The keys of a simulation's input and their shapes, for readers of other languages. */
export const simulationSchema: z.ZodType<SimulationInput> = inputSchema;

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
      .map((name) => [name, lossOf(name, route, null, parsed.data.losses ?? noLosses)] as const);
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

function runSpec(device: Device, spec: RoutingSpec, input: SimulationInput): Route {
  const { logits, bias, labels, priority, training = true } = input;
  const clean_TE = matrixOn(device, logits);
  const noise = noiseOf(device, spec, clean_TE, input);
  const units = {
    sequence: input.sequence ?? logits.length,
    labels: labels ? tokenLabels(device, labels) : null,
    priority_T: priority ? tensor(device, priority) : null,
  };
  const bias_E = bias ? tensor(device, bias) : null;
  const limits = limitsOf(device, spec, input.without);
  return routeLogits(spec, noise?.noisy_TE ?? clean_TE, { training, units, noise, bias_E, limits });
}

function matrixOn(device: Device, rows: Matrix): Tensor {
  return tensor(device, rows.flat(), [rows.length, rows[0].length]);
}

function noiseOf(
  device: Device,
  spec: RoutingSpec,
  clean_TE: Tensor,
  { noise, noiseStd }: SimulationInput,
): NoisyLogits | null {
  if (!noise || spec.noise?.kind !== "gaussian") return null;
  const { sigma } = spec.noise;
  const std_TE = noiseStd ? matrixOn(device, noiseStd) : fixedStd(clean_TE, sigma ?? 1);
  return addNoise(clean_TE, std_TE, matrixOn(device, noise));
}

function limitsOf(
  device: Device,
  spec: RoutingSpec,
  without: SimulationInput["without"],
): ExpertLimits | null {
  if (!without) return null;
  const mask = without.map((gone) =>
    Array.from({ length: spec.experts }, (_, e) => (gone.includes(e) ? -Infinity : 0)),
  );
  return { active_T: null, mask_TE: matrixOn(device, mask) };
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
  const refuse = (key: string, what: string): never => fail("spec", `route input: ${key}: ${what}`);
  const {
    logits,
    bias,
    noise,
    noiseStd,
    labels,
    sequence,
    priority,
    without,
    losses,
    training = true,
  } = input;
  const columns = columnsOf(spec);
  const tokens = logits.length;
  for (const [key, rows] of Object.entries({ logits, noise, noiseStd })) {
    rows?.forEach((row, t) => {
      if (row.length !== columns)
        refuse(`${key}.${t}`, `${row.length} numbers where the spec takes ${columns}`);
    });
  }
  for (const [key, rows] of Object.entries({ noise, noiseStd, labels, priority, without }))
    if (rows && rows.length !== tokens) refuse(key, `${rows.length} entries for ${tokens} tokens`);
  if (bias && !spec.bias) refuse("bias", "the spec has none");
  if (bias && bias.length !== columns) refuse("bias", `${bias.length} numbers for ${columns} experts`);
  if (noise && spec.noise?.kind !== "gaussian") refuse("noise", "the spec has no gaussian noise");
  if (noise && !training) refuse("noise", "there is none outside training");
  if (noiseStd && !noise) refuse("noiseStd", "there is no noise for it");
  if (noiseStd && spec.noise?.kind === "gaussian" && spec.noise.sigma !== null)
    refuse("noiseStd", `the spec fixes noise.sigma at ${spec.noise.sigma}`);
  const byLabel = losses?.balance.over === "label" || losses?.marginalEntropy.over === "label";
  if (labels && spec.select.by !== "label" && !byLabel)
    refuse("labels", `the spec selects by ${spec.select.by}, and no loss is over labels`);
  if (!labels && spec.select.by === "label") refuse("labels", "missing, and the spec selects by label");
  if (!labels && byLabel) refuse("labels", "missing, and a loss is over labels");
  if (sequence !== undefined && tokens % sequence !== 0)
    refuse("sequence", `${tokens} tokens are no whole sequences of ${sequence}`);
  const givenPriority = spec.capacity?.priority === "given";
  if (priority && !givenPriority) refuse("priority", 'the spec has no capacity whose priority is "given"');
  if (!priority && givenPriority && training) refuse("priority", 'missing, and capacity.priority is "given"');
  checkWithout(spec, without, labels, refuse);
  const misfit = losses && misfitOf(losses, spec);
  if (misfit) refuse(`losses.${misfit.name}`, misfit.why);
  if (losses && losses.orthogonality !== 0)
    refuse("losses.orthogonality", "it is of the gate, which a simulation has not");
}

function checkWithout(
  { select, experts, gate }: RoutingSpec,
  without: SimulationInput["without"],
  labels: SimulationInput["labels"],
  refuse: (key: string, what: string) => never,
): void {
  if (!without) return;
  if (select.by !== "token" && select.by !== "label") refuse("without", `the spec selects by ${select.by}`);
  if (gate.kind === "hash") refuse("without", "a hash gate fixes each token's experts");
  without.forEach((gone, t) => {
    const stray = gone.find((e) => e >= experts);
    if (stray !== undefined) refuse(`without.${t}`, `expert ${stray} does not exist; experts is ${experts}`);
    const allowed =
      select.by === "label" ? (select.table[labels![t]] ?? []) : Array.from({ length: experts }, (_, e) => e);
    if (allowed.length > 0 && allowed.every((e) => gone.includes(e)))
      refuse(`without.${t}`, "no expert is left");
  });
}
