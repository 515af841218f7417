import { afterAll, describe, expect, test } from "vitest";
import { loadKernels } from "../../../test/conformance/load.ts";
import { Device, Draws, Random, randomNormal, randomUniform, sizeOf, type Tensor, tensor } from "../index.ts";

// What a device draws, against what Random draws on the host.

describe.each(await loadKernels(["reference", "native"]))("$name kernels", ({ name, kernels }) => {
  if (typeof kernels === "string") {
    test.skip(`not here: ${kernels}`);
    return;
  }
  const device = new Device(kernels);
  afterAll(() => device.dispose());
  const at = (step: number, firstRow: number): Tensor => tensor(device, Int32Array.of(step, firstRow));

  /** Bit for bit in the reference; f32 functions elsewhere, of numbers below 7. */
  async function expectNumbers(got: Tensor, want: Float32Array): Promise<void> {
    const values = await got.data();
    if (name === "reference") expect(values).toEqual(want);
    else expect(Math.max(...want.map((w, i) => Math.abs(w - values[i])))).toBeLessThan(2e-6);
  }

  test.each([
    [[5], 1, "noise:3", 0],
    [[3, 7], 7, "jitter:0", 12],
    [[2, 3, 5], 2 ** 32 + 7, "noise:3", 1],
    [[64, 33], Number.MAX_SAFE_INTEGER, "a name", 2 ** 31 - 1],
  ])("shape %j, seed %i, stream %s, step %i", async (shape, seed, stream, step) => {
    const n = sizeOf(shape);
    await expectNumbers(
      randomNormal(at(step, 0), shape, { seed, stream }),
      new Random(seed, stream, step).normals(n),
    );
    await expectNumbers(
      randomNormal(at(step, 0), shape, { seed, stream }, 0, 0.5),
      new Random(seed, stream, step).normals(n, 0.5),
    );
    await expectNumbers(
      randomUniform(at(step, 0), shape, { seed, stream }, 0.99, 1.01),
      new Random(seed, stream, step).uniforms(n, 0.99, 1.01),
    );
  });

  test("rows of a batch are the same drawn in parts", async () => {
    const draws = new Draws(device, 3);
    for (const draw of ["normals", "uniforms"] as const) {
      draws.set(9);
      const whole = await draws[draw]("x", [10, 7]).data();
      draws.set(9, 4);
      expect(await draws[draw]("x", [6, 7]).data()).toEqual(whole.slice(4 * 7));
    }
    draws.dispose();
  });

  test("numbers are of the step that is set when they are drawn, also by a replay", async () => {
    const draws = new Draws(device, 3);
    const { result, replay } = device.record(() => draws.normals("x", [4, 4]));
    draws.set(2);
    if (replay) replay.run();
    else expect(name).toBe("reference");
    if (replay) await expectNumbers(result, new Random(3, "x", 2).normals(16));
    replay?.dispose();
    draws.dispose();
  });

  test("normals have mean 0, variance 1 and no correlation from one to the next; uniforms fill their range evenly", async () => {
    const n = 40_000;
    const z = Array.from(await randomNormal(at(1, 0), [n], { seed: 7, stream: "z" }).data());
    const mean = (values: number[]): number => values.reduce((s, v) => s + v, 0) / values.length;
    // Four standard errors: 4/sqrt(n), 4*sqrt(2/n) and 4/sqrt(n).
    expect(Math.abs(mean(z))).toBeLessThan(0.02);
    expect(Math.abs(mean(z.map((v) => v * v)) - 1)).toBeLessThan(0.0283);
    expect(Math.abs(mean(z.slice(1).map((v, i) => v * z[i])))).toBeLessThan(0.02);
    const u = await randomUniform(at(1, 0), [n], { seed: 7, stream: "u" }, -1, 3).data();
    const counts = [0, 0, 0, 0];
    for (const v of u) counts[Math.floor(v) + 1]++;
    // Four standard errors of a binomial count: 4*sqrt(n * 3/16).
    for (const count of counts) expect(Math.abs(count - n / 4)).toBeLessThan(347);
  });
});
