import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { materialise } from "../nn/index.ts";
import { context, Device, mean, Random, square, Tape, tensor } from "../tensor/index.ts";
import { SwigluExperts } from "./experts.ts";
import { MoeLayer } from "./layer.ts";
import { parseRoutingSpec } from "./schema.ts";
import { whyUntrainable } from "./trainable.ts";

/** What is called untrainable has a gate whose gradient is exactly 0, and the rest has not. */

const device = new Device(createReferenceKernels());

async function gateGradient(fields: object): Promise<number> {
  const spec = parseRoutingSpec({ experts: 4, ...fields });
  const layer = new MoeLayer({
    spec,
    width: 8,
    experts: new SwigluExperts({ count: 4, width: 8, hidden: 8, std: 0.5 }),
    std: 0.5,
  });
  const arena = materialise(layer, device, 1);
  const x_TD = tensor(device, new Random(2, "tokens").normals(80), [10, 8]);
  const tape = new Tape();
  tape.backward(tape.run(() => mean(square(layer.forward(x_TD, context({ training: true })).y))));
  const grads = await arena.grads.data();
  const { start, parameter } = arena.places.get("router.gate.weight")!;
  return Math.max(...Array.from(grads.slice(start, start + parameter.size), Math.abs));
}

test.each([
  { k: 1 },
  { k: 1, normalise: true },
  { k: 1, order: "select-then-score" },
  { k: 1, score: "sigmoid" },
  { k: 1, score: "sigmoid", normalise: true },
  { k: 1, order: "select-then-score", score: "sqrt-softplus" },
  { k: 2, normalise: true },
  { select: { by: "expert", capacityFactor: 1 } },
])("%j", async (fields) => {
  const gradient = await gateGradient(fields);
  if (whyUntrainable(parseRoutingSpec({ experts: 4, ...fields }))) expect(gradient).toBeLessThan(1e-8);
  else expect(gradient).toBeGreaterThan(1e-5);
});
