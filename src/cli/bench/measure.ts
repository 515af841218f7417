import type { ParameterArena } from "../../nn/index.ts";
import { type Device, scope, Tape, type Tensor } from "../../tensor/index.ts";

/** One pass of a benchmark, timed. */
export interface Timing {
  readonly runs: number;
  readonly medianMs: number;
  readonly minMs: number;
  /** Of the median. */
  readonly gflops: number;
  /** Of what the machine was measured to give products of this precision at the start. */
  readonly shareOfPeak: number;
  /** The most a run held besides what stood before it: activations, gradients, temporaries. */
  readonly peakBytes: number;
}

/** Something to time: a warm-up run comes first. */
export interface Pass {
  /** Over when its kernels have run: see {@link finished}. */
  readonly body: () => unknown;
  /** Floating-point operations of its products. */
  readonly flops: number;
}

/** `body`, and then all kernels that it called. */
export function finished({ kernels }: Device, body: () => unknown): () => Promise<void> {
  return async () => {
    await body();
    kernels.finish();
  };
}

/** Milliseconds of each of `runs` runs of `body`, awaited, after one that does not count. */
export async function timesOf(runs: number, body: () => unknown): Promise<number[]> {
  await body();
  const times: number[] = [];
  for (let run = 0; run < runs; run++) {
    const began = performance.now();
    await body();
    times.push(performance.now() - began);
  }
  return times;
}

export async function timing(
  device: Device,
  { body, flops }: Pass,
  runs: number,
  peakGflops: number,
): Promise<Timing> {
  const before = device.memory.live;
  device.resetPeak();
  const times = (await timesOf(runs, body)).sort((a, b) => a - b);
  const medianMs = times[Math.floor(times.length / 2)];
  const gflops = flops / medianMs / 1e6;
  return {
    runs,
    medianMs,
    minMs: times[0],
    gflops,
    shareOfPeak: gflops / peakGflops,
    peakBytes: device.memory.peak - before,
  };
}

/** Memory of one forward and backward pass, besides what stood before it. */
export interface StepMemory {
  /** Between the passes: what gradients read. */
  readonly savedBytes: number;
  /** Gradients of weights, which have a place of their own throughout. */
  readonly gradientBytes: number;
  /** The most there was at once, gradients of weights included. */
  readonly peakBytes: number;
}

export function stepMemory(arena: ParameterArena, lossOf: () => Tensor): StepMemory {
  const { device } = arena.values;
  const gradientBytes = 4 * arena.values.size;
  arena.clearGradients();
  return scope(() => {
    const before = device.memory.live;
    device.resetPeak();
    const tape = new Tape();
    const loss = tape.run(lossOf);
    const savedBytes = device.memory.live - before;
    tape.backward(loss);
    return { savedBytes, gradientBytes, peakBytes: device.memory.peak - before + gradientBytes };
  });
}
