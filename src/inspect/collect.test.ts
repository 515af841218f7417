import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { parseRoutingSpec, routeLogits } from "../moe/index.ts";
import { Device, scope, tensor } from "../tensor/index.ts";
import { balanceOf, RouteCollector } from "./collect.ts";

const device = new Device(createReferenceKernels());

test("a dropped place is told from an absent one, and nothing stays on the device", async () => {
  const spec = parseRoutingSpec({
    experts: 2,
    select: { by: "token", topP: 0.6, maxK: 2 },
    capacity: { factor: 0.25 },
  });
  const before = device.memory.live;
  const collector = new RouteCollector();
  // Softmax of (ln 3, 0) is (3/4, 1/4): one expert reaches 0.6. Of (0, 0) it takes both. Each has ceil(0.25 * 3 * 2 / 2) = 1 place.
  scope(() => {
    const logits = tensor(device, [Math.log(3), 0, Math.log(3), 0, 0, 0], [3, 2]);
    collector.tap("moe.route", 3, routeLogits(spec, logits));
  });
  const { layers, choices, figures } = await collector.take();
  expect(layers).toEqual([3]);
  expect([...choices[0].ids_TK]).toEqual([0, -1, -1, -1, -1, 1]);
  [0.75, 0, 0.75, 0, 0.5, 0.5].forEach((weight, place) => {
    expect(choices[0].weights_TK[place]).toBeCloseTo(weight, 6);
  });
  expect(balanceOf([figures])[0]).toMatchObject({ counts: [3, 1], dropped: 0.5 });
  expect(device.memory.live).toBe(before);
});
