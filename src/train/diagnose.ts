/** Finds where a number first stops being finite, by doing a forward pass again with a listener. */
import type { ParameterArena } from "../nn/index.ts";
import { type Context, scope, Tensor } from "../tensor/index.ts";

interface Heard {
  readonly name: string;
  readonly layer: number;
  readonly tensors: readonly Tensor[];
}

/**
 * The first intermediate value of `forward` that holds a NaN or an infinity, such as "layer 3, moe.route"; if all are finite, the last
 * parameter whose gradient is not; null if that is finite too.
 */
export async function nonFinitePlace(
  forward: (ctx: Context) => unknown,
  ctx: Context,
  arena: ParameterArena,
): Promise<string | null> {
  const heard = scope(() => {
    const values: Heard[] = [];
    const tap = (name: string, layer: number, value: unknown): void => {
      values.push({ name, layer, tensors: [...tensorsIn(value)] });
    };
    forward({ ...ctx, tap });
    return values;
  });
  try {
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

/** Gradients flow from the last layer to the first, so the last one that is not finite comes first. */
async function gradientPlace({ grads, places }: ParameterArena): Promise<string | null> {
  const values = await grads.data();
  const names = [...places].filter(([, { start, parameter }]) =>
    values.subarray(start, start + parameter.size).some((value) => !Number.isFinite(value)),
  );
  const layerOf = (name: string): number => Number(/\d+/.exec(name)?.[0] ?? -1);
  const last = names.map(([name]) => name).sort((a, b) => layerOf(b) - layerOf(a))[0];
  return last === undefined ? null : `the gradient of ${last}`;
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
