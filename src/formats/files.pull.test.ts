import { createHash } from "node:crypto";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { cachedSnapshot, hubToken } from "./files.hub-cache.ts";
import { type PullOptions, pullModel } from "./files.pull.ts";

/** A hub with one repository, org/name, that answers as huggingface.co does. */
class FakeHub {
  commit = "a".repeat(40);
  files = new Map<string, Buffer>();
  /** Requests for contents: path, range, authorization. */
  readonly asked: { path: string; range: string | undefined; token: string | undefined }[] = [];
  /** Cuts the connection after so many bytes, once each. */
  cuts: number[] = [];
  status = 200;
  /** Answers in place of a file's bytes. */
  instead: ((path: string, response: ServerResponse) => boolean) | null = null;
  private readonly server: Server = createServer((request, response) => this.answer(request, response));

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url!, "http://hub");
    const path = decodeURIComponent(url.pathname);
    const json = (value: unknown) =>
      response.setHeader("content-type", "application/json").end(JSON.stringify(value));
    if (this.status !== 200) return void response.writeHead(this.status).end("no");
    if (path === "/api/models/org/name/revision/main")
      return void json({ _id: "1", id: "org/name", sha: this.commit });
    if (path === `/api/models/org/name/tree/${this.commit}`) return void json(this.tree());
    const match = /^\/org\/name\/resolve\/(\w+)\/(.+)$/.exec(path);
    const bytes = match?.[1] === this.commit ? this.files.get(match[2]!) : undefined;
    if (!bytes) return void response.writeHead(404).end();
    this.asked.push({ path: match![2]!, range: request.headers.range, token: request.headers.authorization });
    if (this.instead?.(match![2]!, response)) return;
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    response.setHeader("content-length", bytes.length - from);
    if (from > 0)
      response.writeHead(206, { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
    const cut = this.cuts.shift();
    if (cut === undefined) return void response.end(bytes.subarray(from));
    response.write(bytes.subarray(from, from + cut), () => setTimeout(() => response.destroy(), 20));
  }

  private tree(): unknown[] {
    return [...this.files].map(([path, bytes]) => {
      const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
      const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 130 };
      return { type: "file", path, oid, size: bytes.length, ...(bytes.length > 1000 ? { lfs } : {}) };
    });
  }
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >> 5));
const main = { name: "org/name", revision: "main" };
let hub: FakeHub;
let cache: string;
let options: PullOptions;

beforeEach(async () => {
  hub = new FakeHub();
  hub.files = new Map([
    ["config.json", Buffer.from("{}")],
    ["tokenizer.json", Buffer.from('{"a":1}')],
    ["model.safetensors", weights],
    ["consolidated.safetensors", weights.subarray(1)],
    ["pytorch_model.bin", weights.subarray(2)],
    ["onnx/model.onnx", weights.subarray(3)],
    ["README.md", Buffer.alloc(0)],
  ]);
  cache = await mkdtemp(join(tmpdir(), "conclave-pull-"));
  options = { cache, endpoint: `${await hub.listen()}/`, token: "hf_secret", retryMilliseconds: 1 };
});
afterEach(async () => {
  hub.close();
  await rm(cache, { recursive: true, force: true });
});

test("what a model needs lies in the cache as Hugging Face's libraries have it, and is fetched once", async () => {
  const told: number[] = [];
  const { snapshot, commit } = await pullModel(main, {
    ...options,
    progress: ({ allBytes }) => told.push(allBytes),
  });
  const folder = join(cache, "models--org--name");
  expect(snapshot).toBe(join(folder, "snapshots", commit));
  expect((await readdir(snapshot)).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
  expect(await readlink(join(snapshot, "model.safetensors"))).toBe(`../../blobs/${sha256(weights)}`);
  // git's own id of "{}", as `git hash-object` gives it
  expect(await readlink(join(snapshot, "config.json"))).toBe(
    "../../blobs/9e26dfeeb6e641a33dae4961196235bdb965b21b",
  );
  expect(weights.equals(await readFile(join(snapshot, "model.safetensors")))).toBe(true);
  expect(await readFile(join(folder, "refs", "main"), "utf8")).toBe(hub.commit);
  expect(await cachedSnapshot(main, cache)).toBe(snapshot);
  expect(hub.asked.map(({ token }) => token)).toEqual(Array(3).fill("Bearer hf_secret"));
  expect(told.at(-1)).toBe(weights.length + 9);
  await pullModel(main, options);
  expect(hub.asked).toHaveLength(3);
  await pullModel(main, { ...options, files: ["README.md"], include: ["onnx/*"] });
  expect((await stat(join(snapshot, "README.md"))).size).toBe(0);
  expect((await stat(join(snapshot, "onnx/model.onnx"))).size).toBe(weights.length - 3);
});

test("without the hub, what was pulled before is given, and only that", async () => {
  const { snapshot } = await pullModel(main, options);
  const offline = { ...options, offline: true };
  const before = await pullModel(main, offline);
  expect(before).toMatchObject({ snapshot, commit: hub.commit, unasked: "only the cache is asked" });
  expect(before.files).toContainEqual({ path: "model.safetensors", size: weights.length });
  const away = { ...options, endpoint: "http://127.0.0.1:1" };
  expect((await pullModel(main, away)).unasked).toMatch(/^http:\/\/127.0.0.1:1 cannot be reached/);
  await expect(pullModel(main, { ...away, files: ["README.md"] })).rejects.toThrow(
    "as it is in the cache holds no file README.md",
  );
  await expect(pullModel({ name: "org/other", revision: "main" }, offline)).rejects.toThrow(
    "org/other: only the cache is asked, and the model is not in the cache",
  );
});

test("without the hub, a model in several files is given whole or not at all, and what is missing is named", async () => {
  const offline = { ...options, offline: true };
  const missing = (names: string) =>
    expect.objectContaining({
      code: "hub",
      message: `org/name as it is in the cache lacks ${names}`,
      remedy: "only the cache is asked; leave `offline` out to fetch the model",
    });
  const shards = [1, 2, 3].map((part) => `model-0000${part}-of-00003.safetensors`);
  const index = { weight_map: { a: shards[0], b: shards[1], c: shards[2], d: "more.safetensors" } };
  hub.files = new Map([
    ["config.json", Buffer.from("{}")],
    ["model.safetensors.index.json", Buffer.from(JSON.stringify(index))],
    ...shards.map((name): [string, Buffer] => [name, weights]),
    ["more.safetensors", weights],
  ]);
  const { snapshot } = await pullModel(main, { ...options, files: [shards[1]!, "config.json"] });
  await expect(pullModel(main, offline)).rejects.toEqual(missing(`${shards[0]}, ${shards[2]}`));
  await pullModel(main, { ...options, files: shards });
  await pullModel(main, { ...options, include: ["*.index.json"] });
  await expect(pullModel(main, offline)).rejects.toEqual(missing("more.safetensors"));
  await expect(pullModel(main, { ...offline, files: [shards[1]!] })).resolves.toMatchObject({ snapshot });

  const parts = ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"];
  hub.commit = "b".repeat(40);
  hub.files = new Map(parts.map((name) => [name, weights]));
  for (const [part, other] of [parts, [...parts].reverse()]) {
    await pullModel(main, { ...options, include: [part!] });
    await expect(pullModel(main, offline)).rejects.toEqual(missing(other!));
    if (part === parts[0])
      await expect(pullModel(main, { ...offline, files: [part] })).rejects.toEqual(missing(other!));
    await rm(join(cache, "models--org--name"), { recursive: true });
  }
  await pullModel(main, options);
  expect((await pullModel(main, offline)).files.map(({ path }) => path)).toEqual(parts);
});

test("a kept token of another kind is left aside and told of, and public models are pulled", async () => {
  const kept = join(cache, "kept");
  await writeFile(kept, "glpat-123\n");
  vi.stubEnv("HF_TOKEN", "");
  vi.stubEnv("HF_TOKEN_PATH", kept);
  const told: string[] = [];
  await pullModel(main, { ...options, token: undefined, warn: (line) => told.push(line) });
  vi.unstubAllEnvs();
  expect(told).toEqual([`${kept} holds no access token of the hub: those begin with hf_; going on without`]);
  expect(hub.asked.map(({ token }) => token)).toEqual(Array(3).fill(undefined));
});

test("who one is: the variable, or the file that the hub's tools keep", async () => {
  await mkdir(join(cache, "home"));
  await writeFile(join(cache, "home/token"), "hf_kept\n");
  await writeFile(join(cache, "other"), "hf_other");
  const home = { HF_HOME: join(cache, "home") };
  expect(await hubToken({ ...home, HF_TOKEN: "hf_own" })).toEqual({ token: "hf_own", source: "HF_TOKEN" });
  expect(await hubToken(home)).toEqual({ token: "hf_kept", source: join(cache, "home/token") });
  expect((await hubToken({ ...home, HF_TOKEN_PATH: join(cache, "other") }))?.token).toBe("hf_other");
  expect(await hubToken({ HF_HOME: cache })).toBeUndefined();
});

test("a cut connection is taken up where it ended, within a pull and in the next one", async () => {
  const wanted = { ...options, files: ["model.safetensors"] };
  hub.cuts = [100_000, 50_000];
  const { snapshot } = await pullModel(main, wanted);
  expect(weights.equals(await readFile(join(snapshot, "model.safetensors")))).toBe(true);
  expect(hub.asked.map(({ range }) => range)).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);

  await rm(join(cache, "models--org--name"), { recursive: true });
  hub.asked.length = 0;
  hub.cuts = [70_000];
  const stop = new AbortController();
  const stopped = pullModel(main, {
    ...wanted,
    signal: stop.signal,
    progress: ({ bytes }) => bytes >= 70_000 && stop.abort(),
  });
  await expect(stopped).rejects.toThrow(/abort/i);
  expect(await cachedSnapshot(main, cache)).toBeUndefined(); // half a model is none
  await pullModel(main, wanted);
  expect(hub.asked.at(-1)!.range).toBe("bytes=70000-");
  expect(weights.equals(await readFile(join(snapshot, "model.safetensors")))).toBe(true);
});

test("two pulls at once fetch each file once", async () => {
  const [one, two] = await Promise.all([pullModel(main, options), pullModel(main, options)]);
  expect(one.snapshot).toBe(two.snapshot);
  expect(hub.asked).toHaveLength(3);
  expect(weights.equals(await readFile(join(one.snapshot, "model.safetensors")))).toBe(true);
});

describe("refused", () => {
  const pulling = (more: Partial<PullOptions> = {}) => pullModel(main, { ...options, ...more });
  const hubError = (message: RegExp) =>
    expect.objectContaining({ code: "hub", message: expect.stringMatching(message) });
  const blobs = () => readdir(join(cache, "models--org--name", "blobs")).catch(() => []);

  test("what the hub does not give", async () => {
    hub.status = 401;
    await expect(pulling()).rejects.toEqual(
      hubError(/org\/name, revision main: .* 401: it is private, gated, or not there/),
    );
    hub.status = 404;
    await expect(pulling()).rejects.toEqual(hubError(/the hub does not have it/));
    await expect(pulling({ token: "secret" })).rejects.toEqual(hubError(/^the token holds no access token/));
    await expect(pulling({ endpoint: "http://127.0.0.1:1" })).rejects.toEqual(
      hubError(/127.0.0.1:1 cannot be reached/),
    );
  });

  test("files that are not there, and none of several", async () => {
    await expect(pulling({ files: ["nope"] })).rejects.toEqual(hubError(/org\/name holds no file nope/));
    hub.files = new Map([
      ["a-Q4.gguf", weights],
      ["a-Q8.gguf", weights],
    ]);
    await expect(pulling()).rejects.toEqual(hubError(/2 GGUF models/));
    hub.files = new Map([
      ["Q4_K_M/a-Q4_K_M-00001-of-00002.gguf", weights],
      ["Q4_K_M/a-Q4_K_M-00002-of-00002.gguf", weights],
      ["Q8_0/a-Q8_0.gguf", weights],
      ["mmproj-F16.gguf", weights],
      ["imatrix.gguf", weights],
    ]);
    const paths = async (quant: string): Promise<string[]> =>
      (await pulling({ quant })).files.map(({ path }) => path);
    expect(await paths("q4_k_m")).toEqual([
      "Q4_K_M/a-Q4_K_M-00001-of-00002.gguf",
      "Q4_K_M/a-Q4_K_M-00002-of-00002.gguf",
    ]);
    expect(await paths("Q8_0")).toEqual(["Q8_0/a-Q8_0.gguf"]);
    await expect(pulling({ quant: "BF16" })).rejects.toEqual(hubError(/no GGUF model of BF16/));
    hub.files = new Map([
      ["m/a.gguf", weights],
      ["mmproj-F16.gguf", weights],
    ]);
    expect((await pulling()).files.map(({ path }) => path)).toEqual(["m/a.gguf"]);
    hub.files = new Map([["README.md", weights]]);
    await expect(pulling()).rejects.toEqual(hubError(/neither safetensors nor GGUF/));
  });

  test("bytes that are not those listed: fewer, more, others", async () => {
    const only = { files: ["model.safetensors"] };
    hub.instead = (_, response) => Boolean(response.end(Buffer.concat([weights, Buffer.from("x")])));
    await expect(pulling(only)).rejects.toEqual(hubError(/more than the 300000 bytes/));
    await rm(join(cache, "models--org--name"), { recursive: true });
    hub.instead = (_, response) => Boolean(response.end(Buffer.alloc(300_000)));
    await expect(pulling(only)).rejects.toEqual(hubError(/its hash is another/));
    expect(await blobs()).toEqual([]); // so that the next pull begins anew
    hub.instead = (_, response) => Boolean(response.end(weights.subarray(0, 10)));
    await expect(pulling(only)).rejects.toEqual(hubError(/the connection ended after 10 of 300000 bytes/));
    hub.instead = (_, response) =>
      Boolean(response.writeHead(206, { "content-range": "bytes 0-9/300000" }).end("0123456789"));
    await expect(pulling(only)).rejects.toEqual(hubError(/bytes 10 and on|10 and on were asked for/));
  });

  test.each([
    "../evil.json",
    "/etc/evil.json",
    "a/../../evil.json",
    "C:\\evil.json",
    "..\\evil.json",
    "a//b.json",
    "./x.json",
    "a\u0000.json",
  ])("a path that leads out of the folder: %j", async (path) => {
    hub.files.set(path, Buffer.from("x"));
    await expect(pulling({ include: ["*.json"] })).rejects.toEqual(hubError(/is no path inside a folder/));
    expect(hub.asked).toEqual([]);
  });
});

test("a split GGUF model is fetched whole by the name of its first part", async () => {
  hub.files = new Map([1, 2].map((n) => [`q-0000${n}-of-00002.gguf`, Buffer.from(`part ${n}`)]));
  const { files } = await pullModel(main, { ...options, files: ["q-00001-of-00002.gguf"] });
  expect(files.map(({ path }) => path)).toEqual(["q-00001-of-00002.gguf", "q-00002-of-00002.gguf"]);
});

test("a blob of the wrong size, left by something else, is fetched anew", async () => {
  const blobs = join(cache, "models--org--name", "blobs");
  await mkdir(blobs, { recursive: true });
  await writeFile(join(blobs, sha256(weights)), "short");
  const { snapshot } = await pullModel(main, { ...options, files: ["model.safetensors"] });
  expect(weights.equals(await readFile(join(snapshot, "model.safetensors")))).toBe(true);
  expect((await lstat(join(snapshot, "model.safetensors"))).isSymbolicLink()).toBe(true);
});
