import { copyFile, mkdir, rm, stat, symlink } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import process from "node:process";
import { ConclaveError, fail } from "../errors.ts";
import { writeFileAtomic } from "./files.atomic.ts";
import { causeOf, download, refuse } from "./files.download.ts";
import {
  cachedSnapshot,
  commitExpression,
  type HubModel,
  type HubToken,
  hubCacheFolder,
  hubToken,
  isOffline,
  modelFolder,
  snapshotFiles,
} from "./files.hub-cache.ts";
import { lockWhenFree, type WaitOptions } from "./files.lock.ts";
import { fileError, pathExists, readText } from "./files.read.ts";
import { chooseFiles, type HubFile, indexName, missingParts, type Wanted, wantedFiles } from "./hub-files.ts";

export interface PullProgress {
  readonly file: string;
  /** Of this file; bytes that an earlier pull left are counted. */
  readonly bytes: number;
  /** Of all files. */
  readonly allBytes: number;
  readonly allSize: number;
}

export interface PullOptions extends Wanted {
  /** Default: {@link hubCacheFolder}. */
  readonly cache?: string;
  /** Default: HF_ENDPOINT, else https://huggingface.co. */
  readonly endpoint?: string;
  /** Default: that of {@link hubToken}. */
  readonly token?: string;
  /** Fetch nothing: the model as it is in the cache. Default: whether HF_HUB_OFFLINE says so. */
  readonly offline?: boolean;
  readonly signal?: AbortSignal;
  readonly progress?: (progress: PullProgress) => void;
  /** Told, in a line, what is left aside where the pull can go on without it, and once why it waits for another pull. */
  readonly warn?: (line: string) => void;
  readonly retryMilliseconds?: number;
}

export interface Pulled {
  /** The folder that holds the files under their names. */
  readonly snapshot: string;
  readonly commit: string;
  readonly files: readonly { readonly path: string; readonly size: number }[];
  /** Why the hub was not asked, and these are the files of an earlier pull; null where it was. */
  readonly unasked: string | null;
}

/**
 * Fetches a model from the hub into its cache on this machine, where Hugging Face's other libraries find it too. Files
 * that are there already are not fetched again; what an earlier pull left incomplete is gone on with. The branch's name
 * points to the new files only when all of them are there. Where the hub cannot be reached, or is not to be, a model that was pulled
 * before is given as it is.
 *
 * Errors: "hub", "disk"; the signal's reason when it is aborted.
 */
export async function pullModel(model: HubModel, options: PullOptions = {}): Promise<Pulled> {
  const { cache = hubCacheFolder(), progress } = options;
  const endpoint = (options.endpoint ?? (process.env.HF_ENDPOINT || "https://huggingface.co")).replace(
    /\/+$/,
    "",
  );
  if (options.offline ?? isOffline()) {
    const [why, remedy] = options.offline
      ? ["only the cache is asked", "leave `offline` out to fetch the model"]
      : ["HF_HUB_OFFLINE is set", "unset it to fetch the model"];
    return (
      (await pulledBefore(model, options, cache, why, remedy)) ??
      fail("hub", `${model.name}: ${why}, and the model is not in the cache`, remedy)
    );
  }
  const known = await tokenFor(options);
  const listed = await listModel(model, endpoint, known, options.signal).catch(async (error: unknown) => {
    if (error instanceof Unreachable)
      return (
        (await pulledBefore(model, options, cache, error.message, "pull it again where the hub answers")) ??
        fail(
          "hub",
          error.message,
          "check the connection, and HF_ENDPOINT if it is set; a pull goes on where it stopped",
        )
      );
    throw error;
  });
  if ("unasked" in listed) return listed;
  const { commit, files: all } = listed;
  const token = known?.token;
  const files = chooseFiles(all, options, model.name);
  const folder = modelFolder(model, cache);
  const snapshot = join(folder, "snapshots", commit);
  const allSize = files.reduce((sum, { size }) => sum + size, 0);
  let before = 0;
  let said = false;
  const sayOnce = (line: string): void => {
    if (!said) options.warn?.(line);
    said = true;
  };
  for (const file of files) {
    const blob = join(folder, "blobs", file.hash);
    const tell = (bytes: number) => progress?.({ file: file.path, bytes, allBytes: before + bytes, allSize });
    const url = `${endpoint}/${model.name}/resolve/${commit}/${file.path.split("/").map(encodeURIComponent).join("/")}`;
    const locks = join(cache, ".locks", `models--${model.name.replace("/", "--")}`);
    const waiting = { name: file.path, signal: options.signal, tell: sayOnce };
    await alone(join(locks, `${file.hash}.conclave`), waiting, async () => {
      if ((await stat(blob).catch(() => undefined))?.size === file.size) return;
      await makeFolder(dirname(blob));
      await download({
        ...options,
        url,
        path: blob,
        size: file.size,
        hash: file.hash,
        name: `${model.name}/${file.path}`,
        token,
        progress: tell,
      });
    });
    tell(file.size);
    await linkTo(blob, join(snapshot, file.path));
    before += file.size;
  }
  if (model.revision !== commit) await writeFileAtomic(join(folder, "refs", model.revision), commit);
  return { snapshot, commit, files, unasked: null };
}

const tokenForm = /^hf_/;

/** The token given, or the one kept on this machine: what is kept may be of another kind, and public models need none. */
async function tokenFor({ token, warn }: PullOptions): Promise<HubToken | undefined> {
  const known = token === undefined ? await hubToken() : { token, source: "the token" };
  if (known === undefined || tokenForm.test(known.token)) return known;
  const what = `${known.source} holds no access token of the hub: those begin with hf_`;
  if (token !== undefined) fail("hub", what, "give another, or none");
  warn?.(`${what}; going on without`);
  return undefined;
}

/** What the cache has of a model. Errors: "hub" where a wanted file is not among it, with `remedy` for parts that are missing. */
async function pulledBefore(
  model: HubModel,
  wanted: Wanted,
  cache: string,
  unasked: string,
  remedy: string,
): Promise<Pulled | undefined> {
  const snapshot = await cachedSnapshot(model, cache);
  if (snapshot === undefined) return undefined;
  const name = `${model.name} as it is in the cache`;
  const files = wantedFiles(await snapshotFiles(snapshot), wanted, name);
  const index = files.find(({ path }) => path === indexName);
  const missing = missingParts(files, wanted, index && (await readText(join(snapshot, index.path))));
  if (missing.length > 0) fail("hub", `${name} lacks ${missing.join(", ")}`, `${unasked}; ${remedy}`);
  return { snapshot, commit: basename(snapshot), files, unasked };
}

/** The hub does not answer at all. */
class Unreachable extends Error {}

/** The commit that a revision names, and its files. */
async function listModel(
  { name, revision }: HubModel,
  hubUrl: string,
  known: HubToken | undefined,
  signal: AbortSignal | undefined,
): Promise<{ commit: string; files: HubFile[] }> {
  const hub = await loadClient();
  const common = {
    hubUrl,
    accessToken: known?.token,
    fetch: (url: string | URL | Request, init?: RequestInit) => fetch(url, { ...init, signal }),
  };
  try {
    const { sha } = await hub.modelInfo({ ...common, name, revision, additionalFields: ["sha"] });
    if (!commitExpression.test(sha))
      fail("hub", `${name}: the hub names the commit ${JSON.stringify(sha)}, which is none`);
    const files: HubFile[] = [];
    for await (const { type, path, size, oid, lfs } of hub.listFiles({
      ...common,
      repo: { type: "model", name },
      recursive: true,
      revision: sha,
    }))
      if (type === "file") files.push({ path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid ?? "" });
    return { commit: sha, files };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ConclaveError) throw error;
    if (error instanceof hub.HubApiError) refuse(error.statusCode, `${name}, revision ${revision}`);
    throw new Unreachable(`${hubUrl} cannot be reached: ${causeOf(error)}`, { cause: error });
  }
}

async function loadClient(): Promise<typeof import("@huggingface/hub")> {
  try {
    return await import("@huggingface/hub");
  } catch (error) {
    throw new ConclaveError("hub", "the package @huggingface/hub is not installed", {
      remedy: "run `npm install @huggingface/hub`",
      cause: error,
    });
  }
}

/** Runs `work` while no other pull of the same file runs, waiting for one that does. */
async function alone(path: string, options: WaitOptions, work: () => Promise<void>): Promise<void> {
  const release = await lockWhenFree(path, options);
  try {
    await work();
  } finally {
    await release();
  }
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((error: unknown) => {
    throw fileError("making", path, error);
  });
}

/** Names a blob by a relative link, so that the cache can be moved; a copy where links are not allowed. */
async function linkTo(blob: string, path: string): Promise<void> {
  if (await pathExists(path)) return;
  await makeFolder(dirname(path));
  try {
    await rm(path, { force: true }); // a link to nothing
    await symlink(relative(dirname(path), blob), path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return; // another pull was quicker
    if (code !== "EPERM") throw fileError("linking", path, error);
    await copyFile(blob, path);
  }
}
