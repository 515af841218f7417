import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { hubCacheFolder, parseHubModel } from "../formats/files.ts";
import { resolveModel } from "./resolve-model.ts";

const commit = "0123456789abcdef0123456789abcdef01234567";
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "conclave-resolve-"));
  vi.stubEnv("HF_HUB_CACHE", join(root, "hub"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

async function put(path: string, text = ""): Promise<void> {
  await mkdir(join(root, path, ".."), { recursive: true });
  await writeFile(join(root, path), text);
}

test("the cache is where Hugging Face's libraries have it", () => {
  expect(hubCacheFolder({ HF_HUB_CACHE: "/a", HF_HOME: "/b" })).toBe("/a");
  expect(hubCacheFolder({ HF_HOME: "/b", XDG_CACHE_HOME: "/c" })).toBe("/b/hub");
  expect(hubCacheFolder({ XDG_CACHE_HOME: "/c" })).toBe("/c/huggingface/hub");
  expect(hubCacheFolder({})).toMatch(/\.cache\/huggingface\/hub$/);
});

test("names that would leave the cache, or take another's place in it, are no names", () => {
  expect(parseHubModel("org/name.v1@refs/pr/1")).toEqual({ name: "org/name.v1", revision: "refs/pr/1" });
  for (const bad of ["../x", "a/..", "a/b/c", "a", "a/b@../../x", "a/b@", "a--b/c", "a\\b/c", "a/b@/etc"])
    expect(parseHubModel(bad), bad).toBeUndefined();
});

test("a folder, a file, a cached name, and one file of a cached name", async () => {
  await put("m/config.json");
  expect(await resolveModel(join(root, "m"))).toBe(join(root, "m"));
  await put("x.gguf");
  expect(await resolveModel(join(root, "x.gguf"))).toBe(join(root, "x.gguf"));

  await put("y.GGUF");
  expect(await resolveModel(join(root, "y.GGUF"))).toBe(join(root, "y.GGUF"));
  await put("folder/notes.txt");
  await expect(resolveModel(join(root, "folder"))).rejects.toThrow(
    "folder holds neither config.json nor a GGUF model",
  );
  await put("stopped/run.json");
  await expect(resolveModel(join(root, "stopped"))).rejects.toMatchObject({
    message: expect.stringContaining("a run that has not ended"),
    remedy: expect.stringMatching(/train --resume .*stopped/),
  });
  await put("folder/Model-Q4.GGUF");
  expect(await resolveModel(join(root, "folder"))).toBe(join(root, "folder/Model-Q4.GGUF"));

  await put("hub/models--org--name/refs/main", commit);
  const snapshot = join(root, "hub/models--org--name/snapshots", commit);
  await put(`hub/models--org--name/snapshots/${commit}/q-00001-of-00002.gguf`);
  await put(`hub/models--org--name/snapshots/${commit}/q-00002-of-00002.gguf`);
  expect(await resolveModel("org/name")).toBe(join(snapshot, "q-00001-of-00002.gguf"));
  expect(await resolveModel(`org/name@${commit}`)).toBe(join(snapshot, "q-00001-of-00002.gguf"));
  await put(`hub/models--org--name/snapshots/${commit}/other.gguf`);
  await expect(resolveModel("org/name")).rejects.toThrow(/2 GGUF models: other.gguf, q-00001/);
  expect(await resolveModel("org/name/other.gguf")).toBe(join(snapshot, "other.gguf"));
});

test("what is not there is to be pulled", async () => {
  const remedy = (line: string) =>
    expect.objectContaining({ code: "file-missing", remedy: expect.stringContaining(line) });
  await expect(resolveModel("org/none")).rejects.toThrow(remedy("pull org/none"));
  await expect(resolveModel("org/none/a.gguf@v2")).rejects.toThrow(
    remedy("pull org/none --revision v2 --file a.gguf"),
  );
  await expect(resolveModel(join(root, "nowhere"))).rejects.toThrow(
    remedy("give a model folder, .gguf file, or ORG/NAME"),
  );
  await put("notes.txt");
  await expect(resolveModel(join(root, "notes.txt"))).rejects.toThrow(
    /neither a model folder nor a .gguf file/,
  );
  await expect(resolveModel("org/none/../../x.gguf")).rejects.toThrow(
    remedy("give a model folder, .gguf file, or ORG/NAME"),
  );
});

test("repositories with a folder for each quantisation", async () => {
  const snapshot = join(root, "hub/models--org--many/snapshots", commit);
  const inside = `hub/models--org--many/snapshots/${commit}`;
  await put("hub/models--org--many/refs/main", commit);
  await put(`${inside}/Q4_K_M/m-Q4_K_M-00001-of-00002.gguf`);
  await put(`${inside}/Q4_K_M/m-Q4_K_M-00002-of-00002.gguf`);
  await put(`${inside}/mmproj-F16.gguf`);
  await put(`${inside}/imatrix_unsloth.gguf`);
  const first = join(snapshot, "Q4_K_M/m-Q4_K_M-00001-of-00002.gguf");
  for (const name of [
    "org/many",
    "org/many:Q4_K_M",
    "org/many:q4_k_m",
    "org/many/Q4_K_M",
    `org/many:Q4_K_M@${commit}`,
  ])
    expect(await resolveModel(name), name).toBe(first);
  expect(await resolveModel(snapshot)).toBe(first);
  await put(`${inside}/UD-Q4_K_M/m-UD-Q4_K_M.gguf`);
  expect(await resolveModel("org/many:Q4_K_M")).toBe(first);
  expect(await resolveModel("org/many:UD-Q4_K_M")).toBe(join(snapshot, "UD-Q4_K_M/m-UD-Q4_K_M.gguf"));
  expect(await resolveModel("org/many/UD-Q4_K_M/m-UD-Q4_K_M.gguf")).toMatch(/UD-Q4_K_M\.gguf$/);
  await expect(resolveModel("org/many")).rejects.toMatchObject({
    message: "org/many holds 2 GGUF models: Q4_K_M/m-Q4_K_M-00001-of-00002.gguf, UD-Q4_K_M/m-UD-Q4_K_M.gguf",
    remedy: "name one: org/many/Q4_K_M/m-Q4_K_M-00001-of-00002.gguf",
  });
  await expect(resolveModel("org/many:Q8_0")).rejects.toMatchObject({
    message: "org/many:Q8_0: no GGUF model of Q8_0 was pulled",
    remedy: expect.stringContaining("pull org/many:Q8_0"),
  });
  await expect(resolveModel("org/many/BF16")).rejects.toMatchObject({
    remedy: expect.stringContaining('pull org/many --include "BF16/*"'),
  });
});

test("a folder of one model and one mmproj is the model; others are told what they hold", async () => {
  await put("eyes/mmproj-model-f16.gguf");
  await expect(resolveModel(join(root, "eyes"))).rejects.toThrow(
    /holds no model, only what stands beside one: mmproj-model-f16.gguf/,
  );
  await put("eyes/model-Q8_0.gguf");
  expect(await resolveModel(join(root, "eyes"))).toBe(join(root, "eyes/model-Q8_0.gguf"));
  await put("cut/model.gguf.part1of2");
  await put("cut/model.gguf.part2of2");
  await expect(resolveModel(join(root, "cut"))).rejects.toMatchObject({
    message: expect.stringContaining("cut into slices: model.gguf.part1of2, model.gguf.part2of2"),
    remedy: expect.stringContaining("as with cat"),
  });
});
