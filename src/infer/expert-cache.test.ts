import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { Kernels } from "../kernels/index.ts";
import type { FileMapping } from "../kernels/kernels.ts";
import { createNativeKernels } from "../kernels/native.ts";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { type Decoder, loadModel, MixtralModel, saveModel } from "../models/index.ts";
import { type MoeLayer, parseRoutingSpec, type TokenRoute } from "../moe/index.ts";
import { materialise } from "../nn/index.ts";
import { byteLength, context, Device, MadeTensor, scope, type Tap, tensor } from "../tensor/index.ts";
import { ExpertCache } from "./expert-cache.ts";
import { generate } from "./generate.ts";

const folder = fileURLToPath(new URL("../../test/golden/mixtral", import.meta.url));
const prompt = [3, 14, 15, 9, 26, 5];
let kernels: Kernels | null = null;
try {
  kernels = await createNativeKernels({ threads: 1 });
} catch {
  // No compiler here: the suite of the kernels says so.
}
afterAll(() => kernels?.dispose());

const layersOf = (model: Decoder): MoeLayer[] => model.blocks.flatMap(({ moe }) => (moe ? [moe] : []));

async function continued(model: Decoder, tap: Tap): Promise<number[]> {
  const ids: number[] = [];
  const options = { maxTokens: 12, temperature: 0, eosIds: [], ctx: context({ tap }) };
  for await (const { id } of generate(model, prompt, options)) ids.push(id);
  return ids;
}

describe.skipIf(kernels === null)("an expert cache", () => {
  const open = async (): Promise<{ model: Decoder; device: Device; expert: number; all: number }> => {
    const device = new Device(kernels!);
    const model = await loadModel(folder, device);
    const layers = layersOf(model);
    const bytes = layers.map(({ experts }) =>
      [...experts.tensors()].reduce((sum, [, { size }]) => sum + 4 * size, 0),
    );
    const all = bytes.reduce((sum, own) => sum + own, 0);
    return { model, device, expert: bytes[0] / layers[0].experts.count, all };
  };

  test("changes no token, however little it holds", async () => {
    const { model, device, expert, all } = await open();
    const used: number[] = [];
    const plain = await continued(model, (name, _, value) => {
      if (name !== "moe.route") return;
      const { kept_TK } = value as TokenRoute;
      used.push(new Set(kernels!.mapping!.integers(kept_TK.buf, kept_TK.size)).size);
    });
    for (const budget of [2 * expert, 3 * expert, all]) {
      const cache = new ExpertCache(layersOf(model), device, budget);
      expect(await continued(model, cache.tap)).toEqual(plain);
      const { figures } = cache;
      expect(figures.used).toBe(used.reduce((sum, n) => sum + n, 0));
      expect(figures.bytesHeld).toBeLessThanOrEqual(budget);
      expect(figures.hits).toBeGreaterThanOrEqual(figures.foreseen);
    }
    model.dispose();
  });

  test("never lets go of what it has just asked for, where a prompt takes more experts than it holds", async () => {
    let told: string[] = [];
    const { mapping } = kernels!;
    const advise: FileMapping["advise"] = (...args) => {
      told.push(`${args[3]} ${args[1]}`);
      mapping!.advise(...args);
    };
    const device = new Device({ ...kernels!, mapping: { ...mapping!, advise } });
    const model = await loadModel(folder, device);
    const layers = layersOf(model);
    const [first] = layers;
    const size = [...first.experts.tensors()].reduce((sum, [, own]) => sum + 4 * own.size, 0);
    const cache = new ExpertCache(layers, device, (2 * size) / first.experts.count);
    let asked = 0;
    await continued(model, (name, layer, value) => {
      told = [];
      cache.tap(name, layer, value);
      const soon = told.filter((one) => one.startsWith("soon")).map((one) => one.slice(5));
      asked += soon.length;
      expect(soon.filter((at) => told.includes(`done ${at}`))).toEqual([]);
    });
    expect(asked).toBeGreaterThan(0);
    model.dispose();
  });

  test("nor of what is there and about to run", async () => {
    const told: string[] = [];
    const { mapping } = kernels!;
    const advise: FileMapping["advise"] = (...args) => void told.push(args[3]);
    const device = new Device({ ...kernels!, mapping: { ...mapping!, advise } });
    const model = await loadModel(folder, device);
    const [first] = layersOf(model);
    const size = [...first.experts.tensors()].reduce((sum, [, own]) => sum + 4 * own.size, 0);
    const expert = size / first.experts.count;
    const cache = new ExpertCache([first], device, 3 * expert);
    const chosen = (...ids: number[]): void => {
      const kept_TK = tensor(device, Int32Array.from(ids), [ids.length, 1]);
      cache.tap("moe.route", 0, { by: "token", spec: first.router.spec, kept_TK } as TokenRoute);
      kept_TK.dispose();
    };
    chosen(3);
    chosen(0, 1, 2, 3); // more than fit, and the last is the longest unused
    expect(told).not.toContain("done");
    expect(cache.figures).toMatchObject({ used: 5, hits: 1, bytesRead: 4 * expert, bytesHeld: 3 * expert });
    chosen(0);
    expect(told).toContain("done");
    model.dispose();
  });

  test("that holds all reads each expert once", async () => {
    const { model, device, all } = await open();
    const cache = new ExpertCache(layersOf(model), device, all);
    await continued(model, cache.tap);
    const { bytesRead, bytesHeld, used, hits } = cache.figures;
    expect(bytesRead).toBe(bytesHeld);
    expect(bytesRead).toBeLessThanOrEqual(all);
    await continued(model, cache.tap);
    // The same again: whatever was used is there.
    expect(cache.figures.bytesRead).toBe(bytesRead);
    expect(cache.figures.hits - hits).toBe(cache.figures.used - used);
    model.dispose();
  });

  test.each(["gpt-oss-mxfp4", "gpt-oss", "llama4-top2-tied"])(
    "%s: experts that are made leave and are made again",
    async (name) => {
      const device = new Device(kernels!);
      const model = await loadModel(`${folder}/../models/${name}`, device);
      const layers = layersOf(model);
      const experts = layers.flatMap(({ experts }) =>
        [...experts.tensors()].flatMap(([, { pieces, shape }]) => (shape.length === 3 ? pieces! : [])),
      ) as MadeTensor[];
      const bytesOf = (pieces: readonly MadeTensor[]): number =>
        pieces.reduce((sum, { shape, dtype }) => sum + byteLength(shape, dtype), 0);
      const there = (): number => bytesOf(experts.filter((piece) => piece.there));
      const all = bytesOf(experts);
      const [{ experts: first, router }] = layers;
      const expert = all / layers.length / first.count;
      const picks = 2;
      const plain = await continued(model, () => {});
      expect(there()).toBeLessThanOrEqual(all);
      for (const budget of [picks * expert, (picks + 1) * expert, all]) {
        const cache = new ExpertCache(layers, device, budget);
        expect(there()).toBe(0);
        let most = 0;
        const tap: Tap = (name, layer, value) => {
          cache.tap(name, layer, value);
          if (layer !== router.layer || name === "moe.input") most = Math.max(most, there());
        };
        expect(await continued(model, tap)).toEqual(plain);
        const { bytesRead, bytesHeld, used, hits } = cache.figures;
        expect(most).toBeLessThanOrEqual(budget);
        expect(most).toBeGreaterThan(0);
        expect(bytesHeld).toBeLessThanOrEqual(budget);
        if (budget < all) expect(bytesRead).toBeGreaterThan(bytesHeld);
        else expect(bytesRead).toBeLessThanOrEqual(bytesOf(experts));
        expect(hits).toBeLessThan(used);
      }
      model.dispose();
    },
  );

  test("of a prompt that takes more experts than it holds, those that pass are made one by one", async () => {
    const device = new Device(kernels!);
    const model = await loadModel(`${folder}/../models/gpt-oss-mxfp4`, device);
    const layers = layersOf(model);
    const ids = tensor(
      device,
      Int32Array.from({ length: 40 }, (_, i) => (7 * i) % 96),
      [1, 40],
    );
    const logits = async (tap: Tap): Promise<ArrayLike<number>> => {
      const out = scope(() => model.forward(ids, context({ tap })).logits_TV);
      const values = await out.data();
      out.dispose();
      return values;
    };
    const plain = await logits(() => {});
    const pieces = layers.flatMap(({ experts }) =>
      [...experts.tensors()].flatMap(([, parameter]) => (parameter.pieces ?? []) as MadeTensor[]),
    );
    const made = pieces.filter((piece) => piece instanceof MadeTensor);
    const [layer] = layers;
    const own = made.slice(0, made.length / layers.length);
    const whole = own.reduce((sum, { shape, dtype }) => sum + byteLength(shape, dtype), 0);
    const budget = (2 * whole) / layer.experts.count;
    const cache = new ExpertCache(layers, device, budget);
    expect(await logits(cache.tap)).toEqual(plain);
    expect(cache.figures.used).toBe(layers.length * layer.experts.count); // all four of each layer
    const there = made.filter((piece) => piece.there);
    expect(there.reduce((sum, { shape, dtype }) => sum + byteLength(shape, dtype), 0)).toBe(budget);
    ids.dispose();
    model.dispose();
  });

  test("foresees nothing where tokens choose by their label", async () => {
    const { model, device } = await open();
    const table = { text: [0, 1], code: [2, 3] };
    const routing = parseRoutingSpec({ experts: 4, select: { by: "label", table, k: 1 } });
    const labelled = new MixtralModel({ ...(model as MixtralModel).config, routing });
    const arena = materialise(labelled, device, 1);
    const saved = await mkdtemp(join(tmpdir(), "conclave-labels-"));
    await saveModel(saved, labelled);
    const mapped = await loadModel(saved, device);
    const cache = new ExpertCache(layersOf(mapped), device, 1e9);
    const options = { maxTokens: 3, eosIds: [], labels: ["code"], ctx: context({ tap: cache.tap }) };
    for await (const _ of generate(mapped, [3], options));
    const { used, foreseen } = cache.figures;
    expect([used, foreseen]).toEqual([3 * 2, 0]);
    mapped.dispose();
    arena.dispose();
    model.dispose();
    await rm(saved, { recursive: true });
  });

  test("where foresight is wrong, looks at every layer of one pass in eight", async () => {
    const { model, device } = await open();
    const deeper = new MixtralModel({ ...(model as MixtralModel).config, layers: 5 });
    const arena = materialise(deeper, device, 1);
    const saved = await mkdtemp(join(tmpdir(), "conclave-foresight-"));
    await saveModel(saved, deeper);
    const mapped = await loadModel(saved, device);
    const layers = layersOf(mapped);
    const routeOf = (...ids: number[]): TokenRoute =>
      ({
        by: "token",
        spec: layers[0].router.spec,
        kept_TK: tensor(device, Int32Array.from(ids), [1, 2]),
      }) as TokenRoute;
    const [one] = layers;
    const size = [...one.experts.tensors()].reduce((sum, [, own]) => sum + 4 * own.size, 0);
    // It holds the experts of one layer's token, so that all that is foreseen is missing.
    const cache = new ExpertCache(layers, device, (2 * size) / one.experts.count);
    let looked: number[] = [];
    for (const { router } of layers)
      router.route = () => {
        looked.push(router.layer);
        return routeOf(2, 3);
      };
    const x_TD = tensor(device, new Float32Array(one.router.width), [1, one.router.width]);
    const passes = Array.from({ length: 40 }, () => {
      looked = [];
      for (const { router } of layers) {
        cache.tap("moe.input", router.layer, x_TD);
        cache.tap("moe.route", router.layer, routeOf(0, 1));
      }
      return looked;
    });
    const later = passes.slice(8);
    expect(passes[0]).toEqual([1, 2, 3, 4]);
    expect(later.filter((looks) => looks.length > 0)).toEqual(Array(4).fill([1, 2, 3, 4]));
    mapped.dispose();
    arena.dispose();
    model.dispose();
    await rm(saved, { recursive: true });
  });

  test("too small for one token, or without mapped weights, is refused", async () => {
    const { model, device, expert } = await open();
    expect(() => new ExpertCache(layersOf(model), device, expert)).toThrow(
      expect.objectContaining({ code: "usage" }),
    );
    model.dispose();
    const plain = new Device(createReferenceKernels());
    const copied = await loadModel(folder, plain);
    expect(() => new ExpertCache(layersOf(copied), plain, 1e9)).toThrow("not mapped from a file");
  });
});
