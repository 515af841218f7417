/** The memory of a training step, counted by hand. T tokens, D width, E experts, K picks a token, F expert width, R = T K rows. */
import { expect, test } from "vitest";
import { moeWorkload } from "../src/cli/bench/moe.ts";
import { createReferenceKernels } from "../src/kernels/reference/index.ts";
import { Device } from "../src/tensor/index.ts";

test.each([
  ["f32", 4],
  ["bf16", 2],
] as const)(
  "an MoE layer in %s keeps what its gradient reads, and little more at its peak",
  (precision, hiddenBytes) => {
    const [D, F, E, K, T] = [64, 128, 4, 2, 128];
    const R = T * K;
    const workload = moeWorkload(new Device(createReferenceKernels()), { D, F, E, K, T }, precision);
    const { savedBytes, gradientBytes, peakBytes } = workload.memory();
    // Rows of tokens, gate and up, hidden, outputs; the layer's own output, which the loss reads.
    const counted = 4 * R * D + hiddenBytes * 3 * R * F + 4 * R * D + 4 * T * D;
    const ofRouter = 20 * 4 * T * E; // logits, scores, picks, weights, places: a few numbers an expert
    expect(savedBytes).toBeGreaterThanOrEqual(counted);
    expect(savedBytes).toBeLessThan(counted + ofRouter);
    expect(gradientBytes).toBe(4 * (3 * E * D * F + E * D));
    expect(peakBytes).toBeLessThan(1.2 * (savedBytes + gradientBytes));
  },
);
