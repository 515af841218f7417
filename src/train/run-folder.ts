/**
 * A run's folder: the mixture's model folder with its `metrics.jsonl` and `state/`, the twin's in `twin/`, `run.json`
 * (configuration and fingerprints, from the first moment on) and `summary.json` (at the end).
 */
import { z } from "zod";
import { ConclaveError, fail } from "../errors.ts";
import { checkWritable, writeFileAtomic } from "../formats/files.atomic.ts";
import { listFolder } from "../formats/files.folders.ts";
import { checkUnlocked, lock, staleSeconds } from "../formats/files.lock.ts";
import { readJson } from "../formats/files.read.ts";
import type { TokenizerFiles } from "../formats/index.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { parseConfig, type TrainConfig } from "./config.ts";
import type { TokenCorpus } from "./data.ts";
import type { Role } from "./events.ts";

/** What decides the bits of a run besides its configuration. */
export interface Fingerprint {
  /** SHA-256 of all tokens with their domains. */
  readonly corpus: string;
  /** SHA-256 of the tokenizer's files. */
  readonly tokenizer: string;
  readonly kernels: { readonly name: string; readonly isa: string; readonly threads: number };
}

const format = 1;
const manifestSchema = z.strictObject({
  format: z.literal(format),
  config: z.unknown(),
  fingerprint: z.strictObject({
    corpus: z.string(),
    tokenizer: z.string(),
    kernels: z.strictObject({ name: z.string(), isa: z.string(), threads: z.int() }),
  }),
});

/** Things that show that a folder holds a run or a model already. */
const traces = ["run.json", "state", "metrics.jsonl", "config.json", "model.safetensors"];

export interface RunFolder {
  readonly path: string;
  /** Why the bits of a resumed run may differ from an unbroken one's. */
  readonly warnings: readonly string[];
  /** Error "file-exists" where another process took the folder although this one lives: it was stopped for more than a minute. */
  check(): void;
  release(): Promise<void>;
}

/** The folder of one of the two models. */
export function folderOf(run: string, role: Role): string {
  return role === "moe" ? run : `${run}/twin`;
}

/**
 * Takes the folder `path` for a new run, or for one that goes on, and keeps other processes out until released. One whose run was killed is free
 * at once, one of another machine or container {@link staleSeconds} after its last sign of life.
 * Errors: "file-exists" (it holds a run, or another process works in it), "checkpoint" (nothing to resume, or data, tokenizer or
 * configuration differ), "disk".
 */
export async function openRunFolder(
  path: string,
  resume: boolean,
  config: TrainConfig,
  fingerprint: Fingerprint,
): Promise<RunFolder> {
  if (resume) await readManifest(path); // before the lock makes a folder where there is none
  let lost = false;
  const release = await lock(`${path}/.lock`, {
    onLost: () => {
      lost = true;
    },
  });
  const check = (): void => {
    if (lost)
      fail(
        "file-exists",
        `${path}: another run took this folder over, as this one gave no sign of life for ${staleSeconds} seconds`,
        "let the other run go on, or stop it and resume",
      );
  };
  try {
    if (resume) return { path, warnings: await compare(path, config, fingerprint), check, release };
    await checkFree(path);
    await writeFileAtomic(`${path}/run.json`, JSON.stringify({ format, config, fingerprint }, null, 2));
    return { path, warnings: [], check, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * Refuses a folder that {@link openRunFolder} would refuse whatever the text, before there is any work in it. Changes nothing. Errors:
 * "file-exists" (it holds a run, or another process works in it), "disk".
 */
export async function checkRunFolder(path: string, resume: boolean): Promise<void> {
  if (!resume) await checkFree(path);
  await checkUnlocked(`${path}/.lock`);
  await checkWritable(`${path}/run.json`);
}

async function checkFree(path: string): Promise<void> {
  const trace = (await listFolder(path)).find((name) => traces.includes(name));
  if (trace)
    fail(
      "file-exists",
      `${path} holds a run or a model already (${trace})`,
      `choose another folder, or go on with --resume ${path}`,
    );
}

/** The configuration a run folder was started with. Error "checkpoint" where there is no run. */
export async function readRunConfig(path: string): Promise<TrainConfig> {
  return (await readManifest(path)).config;
}

async function readManifest(path: string): Promise<{ config: TrainConfig; fingerprint: Fingerprint }> {
  const file = `${path}/run.json`;
  let json: unknown;
  try {
    json = await readJson(file);
  } catch (cause) {
    if (!(cause instanceof ConclaveError) || cause.code !== "file-missing") throw cause;
    throw new ConclaveError("checkpoint", `${path} holds no run: there is no ${file}`, {
      remedy: "give the folder that the run was started in, which conclave train printed",
      cause,
    });
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success)
    return fail(
      "checkpoint",
      `${file} is not a run of this format`,
      "start a new run; the model in the folder can still be used",
    );
  return { config: parseConfig(parsed.data.config, file), fingerprint: parsed.data.fingerprint };
}

async function compare(path: string, config: TrainConfig, now: Fingerprint): Promise<string[]> {
  const before = await readManifest(path);
  const key = firstDifference(before.config, config, "");
  if (key)
    fail(
      "checkpoint",
      `${path}: the run was started with another ${key}`,
      "resume with the configuration in run.json, or start a new run",
    );
  if (before.fingerprint.tokenizer !== now.tokenizer) {
    fail(
      "checkpoint",
      `${path}: the run was started with another tokenizer`,
      "resume with the tokenizer.json in the run's folder",
    );
  }
  if (before.fingerprint.corpus !== now.corpus) {
    fail(
      "checkpoint",
      `${path}: the text is not the one the run was started with`,
      "give the same --data as at the start, unchanged",
    );
  }
  const shown = ({ name, isa, threads }: Fingerprint["kernels"]): string =>
    `${name} (${isa}), ${threads} threads`;
  const [old, current] = [shown(before.fingerprint.kernels), shown(now.kernels)];
  return old === current
    ? []
    : [`the run was started on ${old} and goes on on ${current}: last bits may differ`];
}

/** The dotted name of the first key whose values differ, null if none. */
function firstDifference(a: unknown, b: unknown, path: string): string | null {
  if (Object.is(a, b)) return null;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return path;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) {
    const found = firstDifference(
      (a as Record<string, unknown>)[key],
      (b as Record<string, unknown>)[key],
      path ? `${path}.${key}` : key,
    );
    if (found) return found;
  }
  return null;
}

/** The fingerprint of a corpus, its tokenizer's files and the kernels in use. */
export async function fingerprintOf(
  corpus: TokenCorpus,
  files: TokenizerFiles,
  { name, isa, threads }: Kernels,
): Promise<Fingerprint> {
  const streams = [...corpus.train, ...corpus.heldOut];
  const digests = await Promise.all(streams.map(({ ids }) => sha256(new Uint8Array(ids.slice().buffer))));
  const corpusText = JSON.stringify(streams.map(({ domain }, i) => [domain, digests[i]]));
  const tokenizerText = JSON.stringify([files.tokenizer, files.config]);
  const encoder = new TextEncoder();
  return {
    corpus: await sha256(encoder.encode(corpusText)),
    tokenizer: await sha256(encoder.encode(tokenizerText)),
    kernels: { name, isa, threads },
  };
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
