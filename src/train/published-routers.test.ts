import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { selectKernels } from "../kernels/select.ts";
import { causalityOf, parseRoutingSpec } from "../moe/index.ts";
import { Device } from "../tensor/index.ts";
import { type Json, resolveConfig, type TrainConfig } from "./config.ts";
import type { TokenCorpus } from "./data.ts";
import { evaluate, leadingBitsPerByte } from "./evaluate.ts";
import { Learner } from "./learner.ts";
import { modelOf } from "./model.ts";

/** Every row of docs/routing.md's table of published routers, put into a training configuration, trains as the row says. */

const reference = readFileSync(new URL("../../docs/routing.md", import.meta.url), "utf8");
const table = reference.slice(reference.indexOf("## Published routers as specs"));
const rows = [...table.matchAll(/^\| ([^|]+?) \| `(\{.+?\})`/gm)].map(
  ([, name, json]) => [name, JSON.parse(json) as Json] as const,
);
/** Divided by the rows' numbers of groups, and enough for their k. */
const experts = 16;

const stream = (domain: string, stride: number) => ({
  domain,
  ids: Int32Array.from({ length: 400 }, (_, i) => (i * i * stride + i) % 257),
});
const corpus: TokenCorpus = {
  train: [stream("prose", 3)],
  heldOut: [stream("prose", 5)],
  tokenBytes: new Int32Array(257).fill(1),
};
const { kernels } = await selectKernels({ threads: 2 });
const device = new Device(kernels);
afterAll(() => device.dispose());

const configOf = (routing: Json): TrainConfig =>
  resolveConfig({
    preset: "tiny",
    file: { path: "run.json", json: { model: { routing: { experts, ...routing } } } },
  });

test("the table has its rows", () => {
  expect(rows.map(([name]) => name)).toEqual(
    expect.arrayContaining([
      "Switch Transformer",
      "OLMoE",
      "Qwen3-MoE",
      "DeepSeek-V3",
      "V-MoE",
      "Expert choice",
      "Soft MoE",
    ]),
  );
});

describe.each(rows)("%s", (_, row) => {
  test("its spec is the run's, and nothing of the preset's router stays", () => {
    expect(configOf(row).model.routing).toEqual(parseRoutingSpec({ experts, ...row }));
  });

  test("it trains: two steps with finite figures, and a held-out figure that it can be judged by", async () => {
    const config = configOf(row);
    const ends = { vocabSize: 257, bosId: null, eosId: 256 };
    const learner = new Learner(modelOf(config, ends, "moe"), config, corpus, device);
    for (let step = 1; step <= 2; step++) {
      const { loss, gradNorm, layers } = await learner.step(step);
      expect([loss, gradNorm].every(Number.isFinite)).toBe(true);
      expect(layers).toHaveLength(config.model.layers);
    }
    const causality = causalityOf(config.model.routing);
    const prefixes = causality === "causal" ? null : { count: 20, seed: 1 };
    const evaluation = await evaluate(learner.model, corpus, {
      device,
      precision: "f32",
      sequence: 32,
      batch: 4,
      limit: Infinity,
      prefixes,
    });
    learner.dispose();
    expect(evaluation.causality).toBe(causality);
    expect(evaluation.prefixPositions).toBe(prefixes?.count);
    expect(leadingBitsPerByte(evaluation)).toBeGreaterThan(0);
  });
});
