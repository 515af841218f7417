import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ConclaveError, fail } from "../errors.ts";
import { fileError } from "./files.read.ts";

export interface Download {
  readonly url: string;
  /** Where the file goes; until it is whole it lies beside it, as PATH.incomplete. */
  readonly path: string;
  readonly size: number;
  /** SHA-256 (64 digits), or git's id of a blob (40). */
  readonly hash: string;
  /** What errors call it. */
  readonly name: string;
  readonly token?: string;
  readonly signal?: AbortSignal;
  /** Told how many bytes are there. */
  readonly progress?: (bytes: number) => void;
  /** Before the first of the repeated tries; each doubles it. Default 500 ms. */
  readonly retryMilliseconds?: number;
}

/** Tries in a row that bring not one byte before it gives up. */
const mostTries = 5;

/**
 * Fetches a file whole or not at all, going on where an earlier try stopped. A cut connection is taken up again; the
 * file takes its place only when size and hash are right. Errors: "hub", "disk".
 */
export async function download(wanted: Download): Promise<void> {
  const incomplete = `${wanted.path}.incomplete`;
  await (
    await open(incomplete, "a").catch((error: unknown) => {
      throw fileError("writing", incomplete, error);
    })
  ).close(); // an empty file is whole at once
  let tries = 0;
  let before = -1;
  while (true) {
    const done = await sizeOf(incomplete);
    if (done === wanted.size) break;
    if (done > wanted.size) await rm(incomplete, { force: true });
    tries = done > before ? 0 : tries + 1;
    before = Math.max(before, done);
    try {
      await transfer(wanted, incomplete);
    } catch (error) {
      wanted.signal?.throwIfAborted();
      if (!(error instanceof Passing) || tries + 1 >= mostTries) throw asHubError(error, wanted);
      await sleep((wanted.retryMilliseconds ?? 500) * 2 ** tries, undefined, { signal: wanted.signal });
    }
  }
  try {
    await verify(wanted, incomplete);
    await rename(incomplete, wanted.path);
  } catch (error) {
    wanted.signal?.throwIfAborted();
    throw fileError("writing", wanted.path, error);
  }
}

const pullAgain = "pull again later: it goes on where it stopped";

/** Trouble that may pass. */
class Passing extends Error {}

function asHubError(error: unknown, { name }: Download): unknown {
  if (error instanceof ConclaveError) return error;
  return new ConclaveError("hub", `${name}: ${(error as Error).message}`, {
    remedy: pullAgain,
    cause: error,
  });
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

/** Asks for what is missing and appends it; returns when the connection ends. */
async function transfer(wanted: Download, incomplete: string): Promise<void> {
  const have = await sizeOf(incomplete);
  const response = await ask(wanted, have);
  const resumed = response.status === 206;
  if (resumed && !response.headers.get("content-range")?.startsWith(`bytes ${have}-`))
    fail(
      "hub",
      `${wanted.name}: the hub sends bytes ${response.headers.get("content-range")}, ${have} and on were asked for`,
      pullAgain,
    );
  if (!response.body) throw new Passing("the hub sends no content");
  let handle: FileHandle;
  try {
    handle = await open(incomplete, resumed ? "a" : "w");
  } catch (error) {
    throw fileError("writing", incomplete, error);
  }
  try {
    let done = resumed ? have : 0;
    for await (const chunk of chunksOf(response.body)) {
      done += chunk.length;
      if (done > wanted.size)
        fail(
          "hub",
          `${wanted.name}: the hub sends more than the ${wanted.size} bytes that it lists`,
          "pull again; if it stays so, something between here and the hub changes files",
        );
      await write(handle, chunk, incomplete);
      wanted.progress?.(done);
    }
    await handle.sync();
    if (done < wanted.size) throw new Passing(`the connection ended after ${done} of ${wanted.size} bytes`);
  } finally {
    await handle.close();
  }
}

async function ask({ url, token, signal, name }: Download, have: number): Promise<Response> {
  const headers = new Headers({ "accept-encoding": "identity" });
  if (token) headers.set("authorization", `Bearer ${token}`); // fetch drops it when it is sent on to another host
  if (have > 0) headers.set("range", `bytes=${have}-`);
  let response: Response;
  try {
    response = await fetch(url, { headers, signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Passing(`the hub cannot be reached: ${causeOf(error)}`);
  }
  if (response.ok) return response;
  await response.body?.cancel();
  if (response.status >= 500 || response.status === 429)
    throw new Passing(`the hub answers ${response.status}`);
  return refuse(response.status, name);
}

/** Says what an answer of the hub means. */
export function refuse(status: number, name: string): never {
  if (status === 401 || status === 403)
    fail(
      "hub",
      `${name}: the hub answers ${status}: it is private, gated, or not there`,
      "check the name; if it is gated, accept its terms on its page and set HF_TOKEN to an access token",
    );
  if (status === 404) fail("hub", `${name}: the hub does not have it`, "check the name and --revision");
  return fail("hub", `${name}: the hub answers ${status}`, pullAgain);
}

/** fetch hides what happened one level deeper. */
export function causeOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== "" ? cause.message : message;
}

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    while (true) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw new Passing(causeOf(error));
      });
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function write(handle: FileHandle, chunk: Uint8Array, path: string): Promise<void> {
  try {
    for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten;
  } catch (error) {
    throw fileError("writing", path, error);
  }
}

async function verify({ size, hash, name, signal }: Download, incomplete: string): Promise<void> {
  const sum: Hash = createHash(hash.length === 64 ? "sha256" : "sha1");
  if (hash.length === 40) sum.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(incomplete, { signal, highWaterMark: 2 ** 20 }))
    sum.update(chunk);
  if (sum.digest("hex") === hash) return;
  await rm(incomplete, { force: true });
  fail(
    "hub",
    `${name}: what came is not what the hub lists: its hash is another`,
    "pull again; if it stays so, something between here and the hub changes files",
  );
}
