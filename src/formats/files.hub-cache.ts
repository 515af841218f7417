/**
 * The cache of the Hugging Face hub on this machine, as its own libraries keep it: hub/models--ORG--NAME with blobs/
 * (the files, by hash), refs/ (the commit of a branch or tag) and snapshots/COMMIT/ (links to blobs, by file name).
 */
import { readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join, sep } from "node:path";
import process from "node:process";
import { fail } from "../errors.ts";
import { pathExists, readTextIfThere } from "./files.read.ts";

/** A model on the hub. */
export interface HubModel {
  /** ORG/NAME */
  readonly name: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

const nameExpression = /^[\w.-]{1,96}\/[\w.-]{1,96}$/;
const revisionExpression = /^\w[\w./-]{0,254}$/;
export const commitExpression: RegExp = /^[0-9a-f]{40}$/;

/** Reads ORG/NAME or ORG/NAME@REVISION; undefined where the text has another form. */
export function parseHubModel(text: string): HubModel | undefined {
  const [name = "", revision = "main", ...rest] = text.split("@");
  if (rest.length > 0 || !nameExpression.test(name) || !isRevision(revision)) return undefined;
  // These would lead out of the cache folder, or name another repository's folder.
  return name.split("/").some((part) => /^\.+$/.test(part) || part.includes("--"))
    ? undefined
    : { name, revision };
}

/** A model on the hub, and what of its repository is meant. */
export interface HubArgument {
  readonly model: HubModel;
  /** Which of several GGUF models, such as Q4_K_M. */
  readonly quant?: string;
  /** A file or folder inside the repository. */
  readonly path?: string;
}

/** Reads ORG/NAME, ORG/NAME:QUANT or ORG/NAME/PATH, each with @REVISION or without; undefined where the text has another form. */
export function parseHubArgument(text: string): HubArgument | undefined {
  const match =
    /^(?<name>[^/@:]+\/[^/@:]+)(?:\/(?<path>[^@:]+))?(?::(?<quant>[\w.-]+))?(?<revision>@[^:]+)?(?::(?<last>[\w.-]+))?$/.exec(
      text,
    )?.groups;
  const model = match && parseHubModel(match.name + (match.revision ?? ""));
  if (!model) return undefined;
  const { path, quant = match.last } = match;
  if (match.quant !== undefined && match.last !== undefined) return undefined;
  if (path === undefined) return quant === undefined ? { model } : { model, quant };
  const inside = path.replace(/\/+$/, "").split(/[\\/]/);
  if (quant !== undefined || inside.some((part) => /^\.*$/.test(part))) return undefined;
  return { model, path: inside.join("/") };
}

/** Whether a revision can be a branch, a tag or a commit, and a path below refs/. */
export function isRevision(text: string): boolean {
  return revisionExpression.test(text) && !text.split("/").some((part) => part === "" || /^\.+$/.test(part));
}

/** The cache folder: HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else below ~/.cache. */
export function hubCacheFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  if (env.HF_HUB_CACHE) return env.HF_HUB_CACHE;
  return join(hubHome(env), "hub");
}

/** HF_HOME, else XDG_CACHE_HOME/huggingface, else below ~/.cache. */
function hubHome(env: Readonly<Record<string, string | undefined>>): string {
  return env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
}

/** An access token, and where it stands. */
export interface HubToken {
  readonly token: string;
  readonly source: string;
}

/** HF_TOKEN, else what the hub's own tools keep in the file HF_TOKEN_PATH, else in HF_HOME/token; undefined where there is none. */
export async function hubToken(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<HubToken | undefined> {
  const own = env.HF_TOKEN?.trim();
  if (own) return { token: own, source: "HF_TOKEN" };
  const path = env.HF_TOKEN_PATH || join(hubHome(env), "token");
  const kept = (await readTextIfThere(path))?.trim();
  return kept ? { token: kept, source: path } : undefined;
}

/** HF_HUB_OFFLINE: nothing is fetched. */
export function isOffline(env: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return /^(1|true|yes|on)$/i.test(env.HF_HUB_OFFLINE ?? "");
}

/** The folder of a model inside the cache. */
export function modelFolder({ name }: HubModel, cache: string = hubCacheFolder()): string {
  return join(cache, `models--${name.replace("/", "--")}`);
}

/** The files of a snapshot, under their names in the repository; links that lead nowhere are left out. */
export async function snapshotFiles(snapshot: string): Promise<{ path: string; size: number }[]> {
  const names = await readdir(snapshot, { recursive: true });
  const files = await Promise.all(
    names.sort().map(async (name) => {
      const info = await stat(join(snapshot, name)).catch(() => undefined); // of what a link leads to
      return info?.isFile() ? [{ path: name.split(sep).join("/"), size: info.size }] : [];
    }),
  );
  return files.flat();
}

/** The snapshot of a cached model, or undefined where it is not in the cache. */
export async function cachedSnapshot(
  model: HubModel,
  cache: string = hubCacheFolder(),
): Promise<string | undefined> {
  const folder = modelFolder(model, cache);
  const ref = (await readTextIfThere(join(folder, "refs", model.revision)))?.trim();
  const commit = ref ?? model.revision;
  if (!commitExpression.test(commit)) {
    if (ref !== undefined)
      fail(
        "file-damaged",
        `${join(folder, "refs", model.revision)} holds no commit`,
        "delete that file and pull the model again",
      );
    return undefined;
  }
  const snapshot = join(folder, "snapshots", commit);
  return (await pathExists(snapshot)) ? snapshot : undefined;
}
