import { z } from "zod";
import { fail } from "../errors.ts";
import { isSeed, type Seed, seedForm } from "../tensor/index.ts";
import {
  type CapacitySpec,
  type GateSpec,
  leastTemperature,
  mostTemperature,
  type NoiseSpec,
  picksOf,
  type RoutingSpec,
  type SelectSpec,
} from "./spec.ts";

/**
 * From JSON to a {@link RoutingSpec}: shapes and ranges by zod, then what fields mean to each other.
 */

const mostExperts = 65_536;

/** See {@link Seed}. */
export const seedSchema: z.ZodType<Seed> = z.union(
  [
    z.int().min(0),
    z
      .string()
      .regex(/^(0|[1-9][0-9]{0,19})$/)
      .refine(isSeed),
  ],
  `expected ${seedForm}`,
);

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
            temperature: z.number().min(leastTemperature).max(mostTemperature).default(0.07),
          }),
          z.strictObject({ kind: z.literal("mlp"), width: z.int().min(1).optional() }),
          z.strictObject({
            kind: z.literal("hash"),
            vocabulary: z.int().min(1),
            seed: seedSchema.default(0),
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
            z.strictObject({
              kind: z.literal("gaussian"),
              sigma: z
                .union([z.number().gt(0), z.literal("1/E")], {
                  error: 'expected a number above 0, "1/E" or null',
                })
                .nullable()
                .default(null),
            }),
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
          factor: z.number().gt(0).optional(),
          places: z.int().min(1).optional(),
          min: z.int().min(0).optional(),
          multiple: z.int().min(1).optional(),
          overflow: z.enum(["drop", "next-best"]).default("drop"),
          priority: z.enum(["position", "score", "given"]).default("position"),
          over: z
            .union([z.enum(["batch", "sequence"]), z.int().min(1)], {
              error: 'expected "batch", "sequence" or a number of tokens',
            })
            .default("batch"),
          evaluation: z.number().gt(0).nullable().default(null),
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
      noise: completeNoise(raw.noise, raw.experts),
      capacity: completeCapacity(raw.capacity, refuse),
    };
    checkSelect(spec, refuse);
    checkGroups(spec, refuse);
    checkFit(spec, refuse);
    return spec;
  });

/** A configuration that says in keys of its own what a routing spec says, such as a published model's config.json. */
export interface SpecSource {
  /** What errors call it. */
  readonly source: string;
  /** Its key for each of the spec's fields: "groups.count" is "n_group". */
  readonly keys: Readonly<Record<string, string>>;
}

/**
 * Reads a spec from parsed JSON. Throws a one-line {@link ConclaveError} that names the key: with code "spec", or "config" where the spec
 * was made `from` a configuration, whose key is named then.
 */
export function parseRoutingSpec(json: unknown, from?: SpecSource): RoutingSpec {
  const result = routingSpecSchema.safeParse(json);
  if (result.success) return result.data;
  if (!from) {
    const { isUnknown } = firstFault(result.error);
    return fail(
      "spec",
      `routing spec: ${firstIssue(result.error)}`,
      isUnknown ? "docs/routing.md lists the fields" : undefined,
    );
  }
  const { path, what } = firstFault(result.error);
  const field = path.join(".");
  // What is wrong may name another field, with its value after it: "is more than experts (8)".
  const said = what.replaceAll(/([\w.]+)(?= \()/g, (name) => from.keys[name] ?? name);
  return fail("config", `${from.source}: ${from.keys[field] ?? field}: ${said}`);
}

/** "select.k: 9 is more than experts (8)": the first thing wrong, after the key it is about. */
export function firstIssue(error: z.ZodError): string {
  const { path, what } = firstFault(error);
  return `${path.join(".") || "the whole"}: ${what}`;
}

/** Something wrong with a configuration. */
export interface Fault {
  /** The key it is about. */
  readonly path: readonly string[];
  /** Keys whose values it does not fit. */
  readonly others: readonly (readonly string[])[];
  readonly what: string;
  /** The key is not known. */
  readonly isUnknown: boolean;
}

/** The first thing wrong and the key it is about. */
export function firstFault(error: z.ZodError): Fault {
  // A key that is missing is most often there, misspelt: that is the one to name.
  const issue = error.issues.find(({ code }) => code === "unrecognized_keys") ?? error.issues[0];
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys")
    return { path: [...path, issue.keys[0]], others: [], what: "unknown key", isUnknown: true };
  const others = issue.code === "custom" ? ((issue.params?.others ?? []) as string[][]) : [];
  const what = issue.message.replace(/^Invalid input: /, "");
  return { path, others, what: what.endsWith("received undefined") ? "missing" : what, isUnknown: false };
}

type Refuse = (path: string, message: string) => void;

/** Lets `"gaussian"` stand for `{ "kind": "gaussian" }`. */
function named<S extends z.ZodType>(schema: S): z.ZodPreprocess<S> {
  return z.preprocess((value) => (typeof value === "string" ? { kind: value } : value), schema);
}

/** Lets `"k": 2` beside `select` stand for `"select": { "by": "token", "k": 2 }`, or fill the k of a token or label selection. */
function liftK(json: unknown, context: z.RefinementCtx): unknown {
  if (typeof json !== "object" || json === null || Array.isArray(json) || !("k" in json)) return json;
  const { k, select = { by: "token" }, ...rest } = json as Record<string, unknown>;
  if (typeof select !== "object" || select === null || !("by" in select)) return json;
  const takesK = (select.by === "token" && !("topP" in select)) || select.by === "label";
  if (takesK && (!("k" in select) || select.k === k)) return { ...rest, select: { ...select, k } };
  const message = takesK
    ? `${k} here, and another in select.k; say it once`
    : "topP" in select
      ? "topP decides how many experts a token takes; bound it with select.maxK"
      : `it is for token choice and labels; select.by is ${JSON.stringify(select.by)}`;
  context.addIssue({ code: "custom", path: ["k"], message });
  return { ...rest, select };
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

function completeNoise(
  raw: { kind: "gaussian"; sigma: number | "1/E" | null } | { kind: "jitter"; epsilon: number } | null,
  experts: number,
): NoiseSpec | null {
  return raw?.kind === "gaussian" && raw.sigma === "1/E"
    ? { kind: "gaussian", sigma: 1 / experts }
    : (raw as NoiseSpec | null);
}

type RawCapacity = Pick<CapacitySpec, "overflow" | "priority" | "over" | "evaluation"> & {
  readonly factor?: number;
  readonly places?: number;
  readonly min?: number;
  readonly multiple?: number;
};

function completeCapacity(raw: RawCapacity | null, refuse: Refuse): CapacitySpec | null {
  if (!raw) return null;
  const { factor, places, min, multiple, ...rest } = raw;
  if (places === undefined) {
    if (factor === undefined) refuse("capacity.factor", "missing: a capacity takes a factor, or places");
    return { factor: factor ?? 1, min: min ?? 0, multiple: multiple ?? 1, ...rest };
  }
  if (factor !== undefined) refuse("capacity.places", "it stands in place of factor; give one of them");
  if (min !== undefined) refuse("capacity.min", "it bounds factor, which is absent; places is exact");
  if (multiple !== undefined)
    refuse("capacity.multiple", "it rounds factor, which is absent; places is exact");
  const { evaluation } = rest;
  if (evaluation !== null && !Number.isInteger(evaluation))
    refuse("capacity.evaluation", `${evaluation} is no number of places; beside places it counts places`);
  return { places, ...rest };
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

function checkGroups(spec: RoutingSpec, refuse: Refuse): void {
  const { groups, experts, select } = spec;
  if (!groups) return;
  const { count, keep } = groups;
  const size = experts / count;
  if (!Number.isInteger(size)) refuse("groups.count", `${count} groups do not divide ${experts} experts`);
  if (keep > count) refuse("groups.keep", `${keep} is more than groups.count (${count})`);
  if (groups.score === "top2-sum" && size < 2)
    refuse("groups.score", `top2-sum takes groups of at least 2 experts, not ${size}`);
  const picks = picksOf(spec);
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
