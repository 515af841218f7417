import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Journal } from "./files.journal.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "conclave-journal-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("opened again at a length, what came after is cut off and new lines follow", async () => {
  const path = join(folder, "metrics.jsonl");
  const first = await Journal.open(path);
  await first.append({ step: 1, text: "é" });
  const { bytes } = first;
  await first.append({ step: 2 });
  await first.append({ step: 3 });
  await first.close();
  const again = await Journal.open(path, bytes);
  const records: unknown[] = [];
  for await (const record of again.records()) records.push(record);
  expect(records).toEqual([{ step: 1, text: "é" }]);
  await again.append({ step: 9 });
  await again.sync();
  await again.close();
  expect(await readFile(path, "utf8")).toBe('{"step":1,"text":"é"}\n{"step":9}\n');
  expect(again.bytes).toBe((await readFile(path)).length);
});

test("opened without a length, it starts anew; shorter than the length, or missing, is an error", async () => {
  const path = join(folder, "short.jsonl");
  const journal = await Journal.open(path);
  await journal.append({ step: 1 });
  await journal.close();
  await expect(Journal.open(path, 100)).rejects.toMatchObject({
    code: "checkpoint",
    message: /11 bytes long.* 100/,
  });
  await expect(Journal.open(join(folder, "none"), 5)).rejects.toMatchObject({ code: "file-missing" });
  await (await Journal.open(path)).close();
  expect(await readFile(path, "utf8")).toBe("");
});
