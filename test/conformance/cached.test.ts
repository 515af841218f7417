/** Families whose attention is unlike others': fed in pieces over the paged cache, they give transformers' logits too. */
import { expect, test } from "vitest";
import { type CachedSequence, PagedCache } from "../../src/infer/index.ts";
import { createReferenceKernels } from "../../src/kernels/reference/index.ts";
import { loadModel } from "../../src/models/index.ts";
import { context, Device, scope, tensor } from "../../src/tensor/index.ts";
import { fixtureFolder, fixtureNames, goldenOf } from "./fixtures.ts";

const device = new Device(createReferenceKernels());
/** Latent keys, sinks, chunks. */
const unlike = fixtureNames.filter((name) => /^(deepseek|gpt-oss|llama4)/.test(name));

test.each(unlike)("%s in pieces over its cache has transformers' logits", async (name) => {
  const { ids, logits_TV } = await goldenOf(name);
  const model = await loadModel(fixtureFolder(name), device);
  const cache = new PagedCache(device, model.config.layers, 8);
  const sequence: CachedSequence = cache.open();
  const got: number[] = [];
  const cuts = [0, 1, 20, 21, 50, ids.length];
  for (const [i, start] of cuts.slice(0, -1).entries()) {
    const part = Int32Array.from(ids.slice(start, cuts[i + 1]));
    const rows = await scope(() => {
      const pass = cache.pass([{ sequence, count: part.length }]);
      return model.forward(tensor(device, part), context(), { pass }).logits_TV;
    }).data();
    got.push(...rows);
  }
  const worst = got.reduce((most, value, i) => Math.max(most, Math.abs(value - logits_TV[i])), 0);
  expect(got).toHaveLength(logits_TV.length);
  expect(worst).toBeLessThan(1e-4);
  cache.dispose();
  model.dispose();
});
