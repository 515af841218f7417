/** The configuration of a training run: its keys, their checks, and how presets, files and flags make one. */
import { z } from "zod";
import { fail } from "../errors.ts";
import {
  firstFault,
  type LossSpec,
  lossNames,
  lossSpecSchema,
  misfitOf,
  type RoutingSpec,
  routingSpecSchema,
  seedSchema,
  whyNot,
  whyUntrainable,
} from "../moe/index.ts";
import type { Precision, Seed } from "../tensor/index.ts";
import { type PresetName, presets } from "./presets.ts";

export interface TrainConfig {
  readonly model: {
    /** D, the width of the residual stream. */
    readonly width: number;
    readonly layers: number;
    readonly heads: number;
    /** Key and value heads; divides `heads`. */
    readonly kvHeads: number;
    /** Width of a head, even; null: width / heads. */
    readonly headDim: number | null;
    /** F, the hidden width of one expert. */
    readonly expertWidth: number;
    readonly routing: RoutingSpec;
    /** Experts that every token passes besides the routed ones; 0 for none. */
    readonly sharedExperts: number;
    /** Whether the output layer is the embedding. */
    readonly tieEmbeddings: boolean;
    readonly ropeTheta: number;
    /** Standard deviation of the first weights. */
    readonly initStd: number;
  };
  readonly data: {
    /** Files and folders of text, each a domain (`name=path` names it); empty: the caller's own corpus. */
    readonly paths: readonly string[];
    /** Share of the text kept out of training, in (0, 0.5]. */
    readonly heldOutShare: number;
    /** V, entries of the tokenizer that is trained on the text. */
    readonly vocabSize: number;
    /** S, tokens a window. */
    readonly sequence: number;
    /** B, windows of a micro-batch. */
    readonly batch: number;
    /** Micro-batches a step: their gradients add up to that of one batch of `batch * accumulate` windows. */
    readonly accumulate: number;
    /** A number for each domain, where `routing.capacity.priority` is "given": the highest is given its places first. */
    readonly priority: Readonly<Record<string, number>>;
  };
  readonly optimizer: {
    /** Highest learning rate, reached after `warmup` steps. */
    readonly lr: number;
    /** Learning rate of the last step. */
    readonly minLr: number;
    readonly warmup: number;
    readonly betas: readonly [number, number];
    readonly eps: number;
    /** Decoupled weight decay of matrices. */
    readonly decay: number;
    /** Largest global norm of the gradient. */
    readonly clip: number;
  };
  /** Coefficients of the routers' losses, each the mean over layers; 0 leaves one out. */
  readonly losses: LossSpec;
  readonly precision: Precision;
  /** Of everything random. */
  readonly seed: Seed;
  readonly steps: number;
  /** Steps between two held-out evaluations. */
  readonly evalEvery: number;
  /** Windows of an evaluation on the way (the last one takes the whole held-out text). */
  readonly evalWindows: number;
  readonly checkpointEvery: number;
  /** How many checkpoints stay on the disk. */
  readonly keepCheckpoints: number;
  /** Whether a dense model with the same active parameters is trained beside it. */
  readonly twin: boolean;
}

/** The tokens that a step learns from, in all its micro-batches. */
export function tokensPerStep({ data }: Pick<TrainConfig, "data">): number {
  return data.batch * data.accumulate * data.sequence;
}

const count = z.int().positive();
const positive = z.number().positive();
const beta = z.number().nonnegative().lt(1);

const schema = z
  .strictObject({
    model: z.strictObject({
      width: count,
      layers: count,
      heads: count,
      kvHeads: count,
      headDim: count.nullable(),
      expertWidth: count,
      routing: routingSpecSchema,
      sharedExperts: z.int().nonnegative(),
      tieEmbeddings: z.boolean(),
      ropeTheta: positive,
      initStd: positive,
    }),
    data: z.strictObject({
      paths: z.array(z.string().min(1)),
      heldOutShare: z.number().positive().max(0.5),
      vocabSize: z.int().min(257),
      sequence: count,
      batch: count,
      accumulate: count.default(1),
      priority: z.record(z.string(), z.number()).default({}),
    }),
    optimizer: z.strictObject({
      lr: positive,
      minLr: z.number().nonnegative(),
      warmup: z.int().nonnegative(),
      betas: z.tuple([beta, beta]),
      eps: positive,
      decay: z.number().nonnegative(),
      clip: positive,
    }),
    losses: lossSpecSchema,
    precision: z.enum(["bf16", "f32"]),
    seed: seedSchema,
    steps: count,
    evalEvery: count,
    evalWindows: count,
    checkpointEvery: count,
    keepCheckpoints: count,
    twin: z.boolean(),
  })
  .superRefine((config, context) => {
    /** `keys`: those whose values do not fit each other, the one to name first. */
    const wrong = (keys: string | readonly string[], message: string): void => {
      const [path, ...others] = (typeof keys === "string" ? [keys] : keys).map((key) => key.split("."));
      context.addIssue({ code: "custom", path, message, params: { others } });
    };
    checkModel(config, wrong);
    checkRouting(config, wrong);
    const { optimizer, steps } = config;
    if (optimizer.warmup > steps) {
      wrong(
        ["optimizer.warmup", "steps"],
        `${optimizer.warmup} steps of warm-up are more than the run's ${steps} steps`,
      );
    }
    if (optimizer.minLr > optimizer.lr)
      wrong(["optimizer.minLr", "optimizer.lr"], `${optimizer.minLr} is above lr, ${optimizer.lr}`);
  });

type Wrong = (keys: string | readonly string[], message: string) => void;

function checkModel({ model }: TrainConfig, wrong: Wrong): void {
  const { width, heads, kvHeads, headDim } = model;
  const ofWidth = ["model.width", "model.heads"];
  if (headDim === null && width % heads !== 0) wrong(ofWidth, `${width} is not divisible by ${heads} heads`);
  else if ((headDim ?? width / heads) % 2 !== 0) {
    wrong(["model.headDim", ...ofWidth], `${headDim ?? width / heads} is odd; rotary embedding turns pairs`);
  }
  if (heads % kvHeads !== 0)
    wrong(["model.heads", "model.kvHeads"], `${heads} is not divisible by ${kvHeads} kvHeads`);
}

/** What the trainer asks of a spec that is right in itself. */
function checkRouting({ model, data, losses }: TrainConfig, wrong: Wrong): void {
  const { routing } = model;
  const { gate, capacity } = routing;
  if (gate.kind === "hash" && gate.vocabulary < data.vocabSize) {
    wrong(
      ["model.routing.gate.vocabulary", "data.vocabSize"],
      `${gate.vocabulary} is less than data.vocabSize, ${data.vocabSize}`,
    );
  }
  const untrainable = whyUntrainable(routing);
  if (untrainable) wrong(`model.routing.${untrainable.key}`, untrainable.why);
  const misfit = misfitOf(losses, routing);
  if (misfit) wrong(`losses.${misfit.name}`, misfit.why);
  const mixing = data.accumulate > 1 ? whyInseparable(routing, data) : null;
  if (mixing) wrong(["data.accumulate", "model.routing"], mixing);
  const given = capacity?.priority === "given";
  if (given && Object.keys(data.priority).length === 0)
    wrong(
      ["model.routing.capacity.priority", "data.priority"],
      '"given" takes data.priority, a number for each domain',
    );
  if (!given && Object.keys(data.priority).length > 0)
    wrong("data.priority", 'it acts only where model.routing.capacity.priority is "given"');
}

/** Why a batch cannot be routed in parts as it is routed whole; null where it can. */
function whyInseparable(
  { select, capacity }: RoutingSpec,
  { batch, sequence }: TrainConfig["data"],
): string | null {
  if (select.by === "expert" || select.by === "soft")
    return `select.by "${select.by}" compares all tokens of a batch, which micro-batches would split; use 1`;
  if (!capacity || capacity.over === "sequence") return null;
  if (typeof capacity.over === "number" && (batch * sequence) % capacity.over === 0) return null;
  return 'an expert\'s places are shared by more tokens than a micro-batch has; set model.routing.capacity.over to "sequence"';
}

export interface ConfigSources {
  /** What the other sources build on; "small" when absent. */
  readonly preset?: PresetName;
  /** A parsed JSON file: any of the keys. */
  readonly file?: { readonly path: string; readonly json: unknown };
  /** Keys from the command line, which win. */
  readonly overrides?: Json;
}

/** A JSON object. */
export type Json = { readonly [key: string]: unknown };

/**
 * The run's configuration: the preset, with the file's keys over it and the overrides over both. A `model.routing` that says who selects
 * (`select`, or `k`) is a spec of its own: what it leaves out has the spec's defaults, not the preset's values. One that does not changes the
 * fields it names. Error "config": one line naming the source and the key.
 */
export function resolveConfig(sources: ConfigSources = {}): TrainConfig {
  const { preset = "small", file, overrides = {} } = sources;
  if (!Object.hasOwn(presets, preset)) {
    fail(
      "config",
      `preset ${JSON.stringify(preset)} is not known; there are ${Object.keys(presets).join(", ")}`,
    );
  }
  if (file && !isObject(file.json))
    fail(
      "config",
      `${file.path}: the file holds no JSON object`,
      "docs/training.md lists the keys that it can hold",
    );
  const fromFile = (file?.json ?? {}) as Json;
  const given = merge(fromFile, overrides, []);
  const merged = merge(merge(presets[preset], fromFile, []), overrides, []);
  const nameOf = (paths: readonly (readonly string[])[]): string => {
    if (paths.some((path) => holds(overrides, path))) return "command line";
    if (file && paths.some((path) => holds(fromFile, path))) return file.path;
    // A key that is nowhere is missing from what holds the keys around it.
    const missing = paths[0].length > 1 && !holds(merged, paths[0]);
    return missing ? nameOf([paths[0].slice(0, -1)]) : `preset ${preset}`;
  };
  return parse(withRoomAfterWarmup(withoutMisfits(merged, given), given), nameOf);
}

/** A run that is shorter than its preset warms up for half of its steps at most, unless the user says how long. */
function withRoomAfterWarmup(merged: Json, given: Json): Json {
  const { steps, optimizer } = merged;
  if (holds(given, ["optimizer", "warmup"]) || typeof steps !== "number" || !isObject(optimizer))
    return merged;
  const warmup = Math.min(Number(optimizer.warmup), Math.max(0, Math.floor(steps / 2)));
  return { ...merged, optimizer: { ...optimizer, warmup } };
}

/** A preset's coefficient for a loss that has no meaning for the routing `given` is no mistake of the user's: it is left out. */
function withoutMisfits(merged: Json, given: Json): Json {
  const { model, losses } = merged;
  const routing = routingSpecSchema.safeParse(isObject(model) ? model.routing : null);
  if (!routing.success || !isObject(losses)) return merged;
  const misfits = lossNames.filter((name) => whyNot(name, routing.data) && !holds(given, ["losses", name]));
  return { ...merged, losses: { ...losses, ...Object.fromEntries(misfits.map((name) => [name, 0])) } };
}

/** Checks a whole configuration, such as the one a run folder keeps. `source` is named in errors. */
export function parseConfig(json: unknown, source: string): TrainConfig {
  return parse(json, () => source);
}

/** `nameOf` says where one of some keys is given. */
function parse(json: unknown, nameOf: (paths: readonly (readonly string[])[]) => string): TrainConfig {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const { path, others, what, isUnknown } = firstFault(result.error);
  return fail(
    "config",
    `${nameOf([path, ...others])}: ${path.join(".") || "the configuration"}: ${what}`,
    isUnknown ? "docs/training.md lists the keys" : undefined,
  );
}

/** Objects are merged key by key, all else (and each part of a routing spec) is replaced. */
function merge(base: Json, over: Json, path: readonly string[]): Json {
  const isSpec = path.at(-1) === "routing";
  const merged: Record<string, unknown> =
    isSpec && saysWhoSelects(over) ? { experts: base.experts } : { ...base };
  for (const [key, value] of Object.entries(over)) {
    if (value === undefined) continue;
    const given = Object.hasOwn(base, key) ? base[key] : undefined;
    // A loss may be its weight alone: choices of its kind are laid over that. One that is left out needs a weight beside them.
    const isLoss = path.at(-1) === "losses" && typeof given === "number" && given !== 0;
    const old = isLoss ? { weight: given } : given;
    const deep = isObject(value) && isObject(old) && !isSpec;
    const next = deep ? merge(old, value, [...path, key]) : value;
    Object.defineProperty(merged, key, { value: next, enumerable: true, configurable: true, writable: true });
  }
  return merged;
}

function saysWhoSelects(routing: Json): boolean {
  return routing.select !== undefined || routing.k !== undefined;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether `json` says anything about the key at `path`; a routing spec is one key, as its fields speak of each other. */
function holds(json: Json, path: readonly string[]): boolean {
  const routing = path.indexOf("routing");
  let place: unknown = json;
  for (const key of routing < 0 ? path : path.slice(0, routing + 1)) {
    if (!isObject(place)) return place !== undefined;
    if (!Object.hasOwn(place, key)) return false;
    place = place[key];
  }
  return place !== undefined;
}
