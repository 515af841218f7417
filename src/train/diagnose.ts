/** Finds where a number first stops being finite, by doing a forward pass again with a listener. */
import type { ParameterArena } from "../nn/index.ts";
import { type Context, keep, scope, Tensor } from "../tensor/index.ts";

const largestF32 = 3.4028234663852886e38;

interface Heard {
  readonly name: string;
  readonly layer: number;
  readonly tensors: readonly Tensor[];
}

/**
 * The first intermediate value of `forward` that holds a NaN or an infinity, such as "layer 3, moe.route"; if all are finite, the last
 * parameter whose gradient is not, or is too large to be squared; null if there is none.
 */
export async function nonFinitePlace(
  forward: (ctx: Context) => unknown,
  ctx: Context,
  arena: ParameterArena,
): Promise<string | null> {
  const heard: Heard[] = [];
  const tap = (name: string, layer: number, value: unknown): void => {
    // Handles of our own: what goes by ends with its block.
    const tensors = [...tensorsIn(value)].map((tensor) => keep(tensor.view(tensor.shape)));
    heard.push({ name, layer, tensors });
  };
  try {
    scope(() => void forward({ ...ctx, tap }));
    for (const { name, layer, tensors } of heard) {
      for (const tensor of tensors) {
        if (await isSound(tensor, name.startsWith("moe."))) continue;
        return layer < 0 ? name : `layer ${layer}, ${name}`;
      }
    }
  } finally {
    for (const { tensors } of heard) for (const tensor of tensors) tensor.dispose();
  }
  return gradientPlace(arena);
}

/**
 * Gradients flow from the last layer to the first, so the last one that is not finite comes first. Where each is finite and only their
 * squares left f32, the largest is to blame.
 */
async function gradientPlace({ grads, places }: ParameterArena): Promise<string | null> {
  const values = await grads.data();
  const gradients = [...places].map(([name, { start, parameter }]) => ({
    name,
    largest: largestOf(values.subarray(start, start + parameter.size)),
  }));
  const broken = gradients.filter(({ largest }) => !Number.isFinite(largest));
  if (broken.length > 0) {
    const last = broken.reduce((a, b) => (depthOf(b.name) > depthOf(a.name) ? b : a));
    return `the gradient of ${last.name}`;
  }
  const { name, largest } = gradients.reduce((a, b) => (b.largest > a.largest ? b : a));
  const squaresFit = largest ** 2 * values.length < largestF32;
  return squaresFit ? null : `the gradient of ${name}, which reaches ${largest.toPrecision(2)}`;
}

/** Where a parameter stands in a decoder: its block, before all of them, or after. */
function depthOf(name: string): number {
  const block = /^layers\.(\d+)\./.exec(name);
  if (block) return Number(block[1]);
  return name.startsWith("embedding.") ? -1 : Infinity;
}

/** The largest magnitude; NaN where there is one. */
function largestOf(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]));
  return largest;
}

/** The tensors in a tapped value. */
function* tensorsIn(value: unknown): Iterable<Tensor> {
  if (value instanceof Tensor) yield value;
  else if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) if (part instanceof Tensor) yield part;
  }
}

/** Whether all values are finite; routers mask with -inf. */
async function isSound(tensor: Tensor, masks: boolean): Promise<boolean> {
  if (tensor.dtype !== "f32") return true;
  const values = await tensor.data();
  return values.every((value) => Number.isFinite(value) || (masks && value === -Infinity));
}
