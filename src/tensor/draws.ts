import type { Device } from "./device.ts";
import { randomNormal, randomUniform } from "./ops/random.ts";
import type { Seed } from "./random.ts";
import { keep } from "./scope.ts";
import { type Shape, type Tensor, tensor } from "./tensor.ts";

/**
 * Random numbers for passes on a device: streams by name, as in Random, at a step that the device's memory holds. A recorded pass draws
 * anew each time it is replayed, if the step is set before.
 */
export class Draws {
  readonly seed: Seed;
  /** i32 [2]: the step, and the first row of the batch that is at work. */
  private readonly at: Tensor;

  constructor(device: Device, seed: Seed) {
    this.seed = seed;
    this.at = keep(tensor(device, Int32Array.of(0, 0)));
  }

  /** What is drawn from now on is of `step`; `firstRow` is where its rows begin, for passes over a part of a batch. */
  set(step: number, firstRow = 0): void {
    this.at.write(Int32Array.of(step, firstRow));
  }

  /** From N(0, 1): f32 of `shape`. Streams are named by what draws, e.g. "noise:3" for layer 3. */
  normals(stream: string, shape: Shape): Tensor {
    return randomNormal(this.at, shape, { seed: this.seed, stream });
  }

  /** Evenly spread over [low, high): f32 of `shape`. */
  uniforms(stream: string, shape: Shape, low = 0, high = 1): Tensor {
    return randomUniform(this.at, shape, { seed: this.seed, stream }, low, high);
  }

  dispose(): void {
    this.at.dispose();
  }
}
