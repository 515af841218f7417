import { z } from "zod";
import { fail } from "../errors.ts";

/**
 * The routing spec: how tokens find experts, as data. Loaders, trainers, the simulator, converters and tests read the
 * same spec. docs/routing.md explains every field with its equation and paper.
 *
 * E experts, K picks a token, T tokens, C capacity.
 */

/** Cosine routers never divide by a temperature below this (X-MoE's logits would otherwise grow without bound). */
export const leastTemperature = 0.01;
const mostExperts = 65_536;

export type GateSpec =
  | { readonly kind: "linear"; readonly bias: boolean }
  | { readonly kind: "cosine"; readonly width: number; readonly temperature: number }
  | { readonly kind: "mlp"; readonly width: number }
  | { readonly kind: "hash"; readonly vocabulary: number; readonly seed: number };

export type SelectSpec =
  | { readonly by: "token"; readonly k: number }
  | { readonly by: "token"; readonly topP: number; readonly maxK: number }
  | { readonly by: "expert"; readonly capacityFactor: number }
  | { readonly by: "soft"; readonly slots: number }
  | {
      readonly by: "label";
      readonly table: Readonly<Record<string, readonly number[]>>;
      readonly k: number | null;
    };

export interface GroupsSpec {
  readonly count: number;
  readonly keep: number;
  readonly score: "max" | "top2-sum";
}

export interface BiasSpec {
  readonly kind: "selection-only";
  /** How far each expert's bias moves after a training step. */
  readonly rate: number;
}

export type NoiseSpec = { readonly kind: "gaussian" } | { readonly kind: "jitter"; readonly epsilon: number };

export interface CapacitySpec {
  readonly factor: number;
  readonly min: number;
  readonly overflow: "drop" | "next-best";
  readonly priority: "position" | "score";
}

/** A whole spec: every default filled in, null where a step is left out. Written as JSON it parses to itself. */
export interface RoutingSpec {
  readonly experts: number;
  readonly gate: GateSpec;
  readonly score: "softmax" | "sigmoid" | "sqrt-softplus";
  readonly order: "score-then-select" | "select-then-score";
  readonly select: SelectSpec;
  readonly groups: GroupsSpec | null;
  readonly bias: BiasSpec | null;
  readonly noise: NoiseSpec | null;
  readonly normalise: { readonly epsilon: number } | null;
  readonly scale: number;
  readonly weightAt: "output" | "input";
  readonly capacity: CapacitySpec | null;
}

/** Checks and completes one spec; nests into larger zod schemas, whose error paths then lead into it. */
export const routingSpecSchema: z.ZodType<RoutingSpec> = z
  .preprocess(
    liftK,
    z.strictObject({
      experts: z.int().min(1).max(mostExperts),
      gate: named(
        z.discriminatedUnion("kind", [
          z.strictObject({ kind: z.literal("linear"), bias: z.boolean().default(false) }),
          z.strictObject({
            kind: z.literal("cosine"),
            width: z.int().min(1).optional(),
            temperature: z.number().min(leastTemperature).default(0.07),
          }),
          z.strictObject({ kind: z.literal("mlp"), width: z.int().min(1).optional() }),
          z.strictObject({
            kind: z.literal("hash"),
            vocabulary: z.int().min(1),
            seed: z.int().min(0).max(0xffffffff).default(0),
          }),
        ]),
      ).default({ kind: "linear", bias: false }),
      score: z.enum(["softmax", "sigmoid", "sqrt-softplus"]).default("softmax"),
      order: z.enum(["score-then-select", "select-then-score"]).default("score-then-select"),
      select: z.discriminatedUnion("by", [
        z.strictObject({
          by: z.literal("token"),
          k: z.int().min(1).optional(),
          topP: z.number().gt(0).max(1).optional(),
          maxK: z.int().min(1).optional(),
        }),
        z.strictObject({ by: z.literal("expert"), capacityFactor: z.number().gt(0) }),
        z.strictObject({ by: z.literal("soft"), slots: z.int().min(1).default(1) }),
        z.strictObject({
          by: z.literal("label"),
          table: z.record(z.string(), z.array(z.int().min(0)).min(1)),
          k: z.int().min(1).nullable().default(null),
        }),
      ]),
      groups: z
        .strictObject({
          count: z.int().min(1),
          keep: z.int().min(1),
          score: z.enum(["max", "top2-sum"]).default("max"),
        })
        .nullable()
        .default(null),
      bias: named(
        z
          .strictObject({ kind: z.literal("selection-only"), rate: z.number().min(0).default(0.001) })
          .nullable(),
      ).default(null),
      noise: named(
        z
          .discriminatedUnion("kind", [
            z.strictObject({ kind: z.literal("gaussian") }),
            z.strictObject({ kind: z.literal("jitter"), epsilon: z.number().gt(0).lt(1).default(0.01) }),
          ])
          .nullable(),
      ).default(null),
      normalise: z
        .preprocess(
          (value) => (value === true ? {} : value === false ? null : value),
          z.strictObject({ epsilon: z.number().min(0).default(1e-20) }).nullable(),
        )
        .default(null),
      scale: z.number().gt(0).default(1),
      weightAt: z.enum(["output", "input"]).default("output"),
      capacity: z
        .strictObject({
          factor: z.number().gt(0),
          min: z.int().min(0).default(0),
          overflow: z.enum(["drop", "next-best"]).default("drop"),
          priority: z.enum(["position", "score"]).default("position"),
        })
        .nullable()
        .default(null),
    }),
  )
  .transform((raw, context) => {
    const refuse = (path: string, message: string): void => {
      context.addIssue({ code: "custom", path: path.split("."), message });
    };
    const spec: RoutingSpec = {
      ...raw,
      gate: completeGate(raw.gate, raw.experts),
      select: completeSelect(raw.select, raw.experts, refuse),
    };
    checkSelect(spec, refuse);
    checkGroups(spec, refuse);
    checkFit(spec, refuse);
    return spec;
  });

/** Reads a spec from parsed JSON. Throws a one-line {@link ConclaveError} with code "spec" that names the key. */
export function parseRoutingSpec(json: unknown): RoutingSpec {
  const result = routingSpecSchema.safeParse(json);
  return result.success ? result.data : fail("spec", `routing spec: ${firstIssue(result.error)}`);
}

/** "select.k: 9 is more than experts (8)": the first thing wrong, after the key it is about. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue.code === "unrecognized_keys") return `${[...issue.path, issue.keys[0]].join(".")}: unknown key`;
  const key = issue.path.join(".") || "the whole";
  return `${key}: ${issue.message}`;
}

/** The most experts a token can have: the K of every [T,K] tensor. Null for expert choice and soft routing. */
export function picksOf(spec: RoutingSpec): number | null {
  const { select } = spec;
  switch (select.by) {
    case "token":
      return "topP" in select ? select.maxK : select.k;
    case "label": {
      const longest = Math.max(...Object.values(select.table).map((row) => row.length));
      return Math.min(select.k ?? longest, longest);
    }
    case "expert":
    case "soft":
      return null;
  }
}

/** Columns of the gate's logits: E, or one for each slot (an expert's slots together). */
export function columnsOf(spec: RoutingSpec): number {
  return spec.select.by === "soft" ? spec.experts * spec.select.slots : spec.experts;
}

/** Places an expert has under `capacity`, for tokens with `picks` choices each: max(min, ceil(factor * T * K / E)). */
export function capacityOf(capacity: CapacitySpec, tokens: number, picks: number, experts: number): number {
  return Math.max(capacity.min, Math.ceil((capacity.factor * tokens * picks) / experts));
}

/** Places an expert takes in expert choice: min(T, ceil(capacityFactor * T / E)) (Zhou et al. 2022, section 3.2). */
export function expertChoiceCapacity(capacityFactor: number, tokens: number, experts: number): number {
  return Math.min(tokens, Math.ceil((capacityFactor * tokens) / experts));
}

type Refuse = (path: string, message: string) => void;

/** Lets `"gaussian"` stand for `{ "kind": "gaussian" }`. */
function named<S extends z.ZodType>(schema: S): z.ZodPreprocess<S> {
  return z.preprocess((value) => (typeof value === "string" ? { kind: value } : value), schema);
}

/** Lets `"k": 2` beside `select` stand for `"select": { "by": "token", "k": 2 }`, or fill the k of a token or label selection. */
function liftK(json: unknown): unknown {
  if (typeof json !== "object" || json === null || Array.isArray(json) || !("k" in json)) return json;
  const { k, select = { by: "token" }, ...rest } = json as Record<string, unknown>;
  if (typeof select !== "object" || select === null || !("by" in select)) return json;
  const takesK = (select.by === "token" && !("topP" in select)) || select.by === "label";
  if (!takesK || ("k" in select && select.k !== k)) return json;
  return { ...rest, select: { ...select, k } };
}

function completeGate(
  gate: GateSpec | { kind: "cosine"; width?: number; temperature: number } | { kind: "mlp"; width?: number },
  experts: number,
): GateSpec {
  // X-MoE routes in a space of half as many dimensions as there are experts.
  if (gate.kind === "cosine") return { ...gate, width: gate.width ?? Math.max(2, Math.ceil(experts / 2)) };
  if (gate.kind === "mlp") return { ...gate, width: gate.width ?? 4 * experts };
  return gate;
}

function completeSelect(
  raw: SelectSpec | { by: "token"; k?: number; topP?: number; maxK?: number },
  experts: number,
  refuse: Refuse,
): SelectSpec {
  if (raw.by !== "token") return raw;
  const { k, topP, maxK } = raw as { k?: number; topP?: number; maxK?: number };
  if (topP !== undefined) {
    if (k !== undefined)
      refuse("select.k", "topP decides how many experts a token takes; bound it with maxK");
    return { by: "token", topP, maxK: maxK ?? experts };
  }
  if (maxK !== undefined) refuse("select.maxK", "it bounds topP, which is absent; say k");
  else if (k === undefined) refuse("select.k", "missing: token choice takes k, or topP");
  return { by: "token", k: k ?? 1 };
}

function checkSelect(spec: RoutingSpec, refuse: Refuse): void {
  const { select, experts } = spec;
  const most = (key: string, value: number): void => {
    if (value > experts) refuse(`select.${key}`, `${value} is more than experts (${experts})`);
  };
  if (select.by === "token") {
    if ("topP" in select) most("maxK", select.maxK);
    else most("k", select.k);
  }
  if (select.by !== "label") return;
  if (Object.keys(select.table).length === 0) refuse("select.table", "has no label");
  if (select.k !== null) most("k", select.k);
  for (const [label, row] of Object.entries(select.table)) {
    const stray = row.find((expert) => expert >= experts);
    if (stray !== undefined)
      refuse(`select.table.${label}`, `expert ${stray} does not exist; experts is ${experts}`);
    if (new Set(row).size < row.length) refuse(`select.table.${label}`, "names an expert twice");
  }
}

function checkGroups({ groups, experts, select, ...spec }: RoutingSpec, refuse: Refuse): void {
  if (!groups) return;
  const { count, keep } = groups;
  const size = experts / count;
  if (!Number.isInteger(size))
    return refuse("groups.count", `${count} groups do not divide ${experts} experts`);
  if (keep > count) refuse("groups.keep", `${keep} is more than groups.count (${count})`);
  if (groups.score === "top2-sum" && size < 2)
    refuse("groups.score", `top2-sum takes groups of at least 2 experts, not ${size}`);
  const picks = picksOf({ groups, experts, select, ...spec });
  if (picks !== null && keep * size < picks && !(select.by === "token" && "topP" in select)) {
    refuse("groups.keep", `${keep} groups of ${size} experts hold fewer than the ${picks} a token takes`);
  }
}

/** Fields that would have no effect, or no meaning, beside another. */
function checkFit(spec: RoutingSpec, refuse: Refuse): void {
  const { select, gate, order, score } = spec;
  const refuseAll = (keys: readonly (keyof RoutingSpec)[], why: string): void => {
    for (const key of keys) if (spec[key] !== null) refuse(key, why);
  };
  const laterScore = order === "select-then-score";
  switch (select.by) {
    case "expert":
      refuseAll(["groups", "bias", "capacity"], `limits token choice; select.by is "expert"`);
      if (laterScore) refuse("order", "expert choice compares scores, so it is score-then-select");
      break;
    case "soft":
      refuseAll(
        ["groups", "bias", "capacity", "normalise"],
        `has no meaning for soft routing, where every token reaches every slot`,
      );
      if (spec.noise?.kind === "gaussian")
        refuse("noise", "gaussian noise is for top-k selection; soft routing selects nothing");
      if (laterScore) refuse("order", "soft routing selects nothing, so it is score-then-select");
      if (score !== "softmax") refuse("score", "soft routing is defined by softmax");
      if (spec.weightAt === "input")
        refuse("weightAt", "soft routing weights the input by dispatch and the output by combine");
      break;
    case "token":
      if ("topP" in select && laterScore)
        refuse("order", "topP adds up scores, so it is score-then-select (with normalise)");
      if ("topP" in select && spec.bias) refuse("bias", "topP adds up scores, which a bias would distort");
      break;
    case "label":
      break;
  }
  if (gate.kind !== "hash") return;
  refuseAll(["groups", "bias", "noise"], "has no effect: a hash gate fixes each token's experts");
  if (score !== "softmax") refuse("score", "a hash gate gives its k experts equal weights, which is softmax");
  if (select.by !== "token" || "topP" in select) refuse("select", "a hash gate takes token choice with k");
}
