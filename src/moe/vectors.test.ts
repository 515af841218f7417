import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { Device } from "../tensor/index.ts";
import { causalityOf } from "./causality.ts";
import { parseRoutingSpec } from "./schema.ts";
import { simulateRoute } from "./simulate.ts";

/** The published test vectors (routing/README.md): made by test/golden/vectors.py in float64, without this code. */

interface VectorFile {
  readonly about: string;
  readonly vectors: readonly {
    readonly name: string;
    readonly spec: unknown;
    readonly input: unknown;
    readonly expected: Readonly<Record<string, unknown>>;
  }[];
}

const folder = new URL("../../routing/vectors/", import.meta.url);
const files = readdirSync(folder).map((name) => ({
  name,
  ...(JSON.parse(readFileSync(new URL(name, folder), "utf8")) as VectorFile),
}));
const device = new Device(createReferenceKernels());
/** What the vectors allow f32. */
const tolerance = 1e-5;

describe.each(files)("$name", ({ vectors }) => {
  test.each(vectors)("$name", async ({ spec, input, expected }) => {
    const parsed = parseRoutingSpec(spec);
    const got = { ...(await simulateRoute(device, parsed, input)), causality: causalityOf(parsed) };
    expectNear(got, expected, "");
  });
});

/** Numbers within {@link tolerance}, which whole ones cannot miss and pass; of objects the keys that the vector speaks of. */
function expectNear(got: unknown, wanted: unknown, where: string): void {
  if (typeof wanted === "number") {
    const apart = Math.abs((got as number) - wanted);
    expect(apart, `${where}: ${got}, not ${wanted}`).toBeLessThanOrEqual(tolerance);
  } else if (Array.isArray(wanted)) {
    expect((got as unknown[]).length, where).toBe(wanted.length);
    wanted.forEach((value, i) => {
      expectNear((got as unknown[])[i], value, `${where}.${i}`);
    });
  } else if (typeof wanted === "object" && wanted !== null) {
    for (const [key, value] of Object.entries(wanted))
      expectNear((got as Record<string, unknown>)[key], value, `${where}.${key}`);
  } else expect(got, where).toEqual(wanted);
}
