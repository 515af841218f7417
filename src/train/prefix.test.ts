import { afterAll, expect, test } from "vitest";
import { selectKernels } from "../kernels/select.ts";
import { materialise } from "../nn/index.ts";
import { context, crossEntropy, Device, scope, tensor } from "../tensor/index.ts";
import { type Json, resolveConfig } from "./config.ts";
import { heldOutWindows, type TokenCorpus } from "./data.ts";
import { evaluate } from "./evaluate.ts";
import { modelOf } from "./model.ts";
import { drawPositions, prefixFigures, prefixLosses } from "./prefix.ts";

const { kernels } = await selectKernels({ threads: 2 });
const device = new Device(kernels);
afterAll(() => device.dispose());

const heldOut = [
  { domain: "a", ids: Int32Array.from({ length: 30 }, (_, i) => (i * 7) % 19) },
  { domain: "b", ids: Int32Array.from({ length: 11 }, (_, i) => (i * i) % 19) },
];
const corpus: TokenCorpus = {
  train: heldOut,
  heldOut,
  tokenBytes: Int32Array.from({ length: 19 }, (_, i) => 1 + (i % 3)),
};
const sequence = 8;

function model(routing: Json) {
  const json = {
    model: { width: 8, heads: 2, kvHeads: 1, expertWidth: 8, initStd: 0.5, routing },
    data: { sequence },
  };
  const config = resolveConfig({ preset: "tiny", file: { path: "test", json } });
  const made = modelOf(config, { vocabSize: 19, bosId: null, eosId: null }, "moe");
  materialise(made, device, 3);
  return made;
}

test("positions: seeded, different, in order, evenly over the windows; all of them where there are no more", () => {
  const windows = heldOutWindows(heldOut, sequence, Infinity);
  const total = 29 + 10; // every token of a stream but its first is predicted once
  const all = drawPositions(windows, 1000, 1);
  expect(all).toHaveLength(total);
  expect(new Set(all.map(({ window, offset }) => `${window.stream}.${window.start + offset}`)).size).toBe(
    total,
  );
  const some = drawPositions(windows, 20, 1);
  expect(some).toHaveLength(20);
  expect(drawPositions(windows, 20, 1)).toEqual(some);
  expect(drawPositions(windows, 20, 2)).not.toEqual(some);
  expect(some.every(({ window, offset }) => offset >= 0 && offset < window.length)).toBe(true);
  const drawn = new Array<number>(total).fill(0);
  for (let seed = 0; seed < 400; seed++)
    for (const { window, offset } of drawPositions(windows, 10, seed))
      drawn[(window.stream === 0 ? 0 : 29) + window.start + offset]++;
  // 400 * 10 / 39 = 103 each; six standard deviations of a binomial are 55.
  expect(Math.max(...drawn.map((count) => Math.abs(count - 4000 / total)))).toBeLessThan(55);
});

test("the figure and its standard error, worked by hand", () => {
  // Nats 2 and 4 over bytes 1 and 3: 6/4 nats a byte. Residuals 2 - 1.5 and 4 - 4.5; sqrt(0.5 / 2) / 2 bytes = 0.25.
  const losses = [
    { stream: 0, nats: 2, bytes: 1 },
    { stream: 0, nats: 4, bytes: 3 },
  ];
  // Of four positions in all, half are unread: the error is sqrt(1/2) of it.
  expect(prefixFigures(losses, 0.5).prefixStandardError).toBeCloseTo((Math.SQRT1_2 * 0.25) / Math.LN2, 12);
  expect(prefixFigures(losses, 1).prefixStandardError).toBe(0);
  expect(prefixFigures(losses, 0)).toEqual({
    prefixBitsPerByte: 1.5 / Math.LN2,
    prefixStandardError: 0.25 / Math.LN2,
    prefixLoss: 3,
    prefixPositions: 2,
  });
});

test.each<[string, Json]>([
  ["expert choice", { select: { by: "expert", capacityFactor: 1 } }],
  ["soft routing", { select: { by: "soft", slots: 2 } }],
  ["token choice", { k: 2 }],
  [
    "labels, with a capacity at inference",
    {
      select: { by: "label", table: { a: [0, 1], b: [2, 3] }, k: 1 },
      capacity: { places: 2, evaluation: 2, priority: "score" },
    },
  ],
])("%s: the loss at a position is that of its prefix read alone", async (_, routing) => {
  const made = model(routing);
  const positions = drawPositions(heldOutWindows(heldOut, sequence, Infinity), 12, 5);
  const losses = await prefixLosses(made, corpus, positions, { device, precision: "f32" });
  expect(losses).toHaveLength(positions.length);
  const left = [...losses];
  for (const { window, offset } of positions) {
    const { ids } = heldOut[window.stream];
    const prefix = ids.slice(window.start, window.start + offset + 1);
    const target = ids[window.start + offset + 1];
    const loss_T = scope(() => {
      const labels = new Array<string>(prefix.length).fill(heldOut[window.stream].domain);
      const { logits_TV } = made.forward(tensor(device, prefix, [1, prefix.length]), context(), { labels });
      return crossEntropy(logits_TV, tensor(device, new Int32Array(prefix.length).fill(target)));
    });
    const alone = Array.from(await loss_T.data()).at(-1)!;
    loss_T.dispose();
    const found = left.findIndex(({ nats, bytes, stream }) => {
      return Math.abs(nats - alone) < 1e-5 && bytes === corpus.tokenBytes[target] && stream === window.stream;
    });
    expect(found).toBeGreaterThanOrEqual(0);
    left.splice(found, 1);
  }
  made.dispose();
});

test("over all positions a causal model's figure is that of whole windows; expert choice's is not, and both are given", async () => {
  const options = {
    device,
    precision: "f32",
    sequence,
    batch: 2,
    limit: Infinity,
    prefixes: { count: 1000, seed: 1 },
  } as const;
  const causal = model({ k: 2 });
  const straight = await evaluate(causal, corpus, options);
  expect(straight.causality).toBe("causal");
  expect(straight.prefixBitsPerByte).toBeCloseTo(straight.bitsPerByte, 5);
  straight.domains.forEach((domain) => {
    expect(domain.prefixBitsPerByte).toBeCloseTo(domain.bitsPerByte, 5);
  });
  const looking = model({ select: { by: "expert", capacityFactor: 1 } });
  const ahead = await evaluate(looking, corpus, options);
  expect(ahead.causality).toBe("future");
  expect(Math.abs(ahead.prefixBitsPerByte! - ahead.bitsPerByte)).toBeGreaterThan(1e-3);
  causal.dispose();
  looking.dispose();
});
