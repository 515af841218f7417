import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device, tensor } from "../tensor/index.ts";
import { planRows } from "./plan.ts";
import type { TokenRoute } from "./route.ts";
import { parseRoutingSpec } from "./schema.ts";
import { simulateRoute } from "./simulate.ts";

/** Made by test/golden/routing.py: numpy in float64, from the papers. */
interface Golden {
  readonly name: string;
  readonly spec: unknown;
  readonly input: unknown;
  readonly expected: Readonly<Record<string, unknown>>;
}
const goldens = JSON.parse(
  readFileSync(new URL("../../test/golden/routing.json", import.meta.url), "utf8"),
) as Golden[];

const device = new Device(createReferenceKernels());
/** f32 against f64 over a handful of additions. */
const tolerance = 5e-6;

test.each(goldens)("$name", async ({ spec, input, expected }) => {
  const got = (await simulateRoute(device, parseRoutingSpec(spec), input)) as unknown as Record<
    string,
    unknown
  >;
  expect(Object.keys(got).sort()).toEqual(Object.keys(expected).sort());
  for (const [key, value] of Object.entries(expected)) expectNear(got[key], value, key);
});

test("a route that names an expert past the last is refused before anything is written to its place", () => {
  const routeOf = (...ids: number[]) =>
    ({
      by: "token",
      spec: { experts: 4 },
      kept_TK: tensor(device, Int32Array.from(ids), [1, ids.length]),
    }) as unknown as TokenRoute;
  expect(planRows(routeOf(3, -1)).row_TK.shape).toEqual([1, 2]);
  expect(() => planRows(routeOf(0, 4))).toThrow("route: ids [1, 2] hold 4; there are 4, counted from 0");
});

/** Same structure, same integers, and other numbers within {@link tolerance} of what is wanted (relative above 1). */
function expectNear(got: unknown, wanted: unknown, where: string): void {
  if (typeof wanted === "number" && !Number.isInteger(wanted)) {
    expect(Math.abs((got as number) - wanted), where).toBeLessThan(tolerance * Math.max(1, Math.abs(wanted)));
  } else if (typeof wanted === "object" && wanted !== null) {
    expect(Object.keys(got as object).sort(), where).toEqual(Object.keys(wanted).sort());
    for (const [key, value] of Object.entries(wanted)) {
      expectNear((got as Record<string, unknown>)[key], value, `${where}.${key}`);
    }
  } else if (typeof wanted === "number") {
    expect(got as number, where).toBeCloseTo(wanted, 5);
  } else {
    expect(got, where).toEqual(wanted);
  }
}
