import { isInteger, raise, type Value } from "./values.ts";

const wrongIndex = "slice indices must be integers or None or have an __index__ method";

/** The positions that Python's slice(start, stop, step) takes of a sequence. Errors: TypeError, ValueError. */
export function* slicePositions(length: number, start: Value, stop: Value, step: Value): Generator<number> {
  const index = (value: Value, otherwise: number): number => {
    if (value === null) return otherwise;
    return isInteger(value) ? Number(value) : raise("TypeError", wrongIndex);
  };
  const by = index(step, 1);
  if (by === 0) raise("ValueError", "slice step cannot be zero");
  const [low, high] = by > 0 ? [0, length] : [-1, length - 1];
  const clamp = (at: number) => Math.min(high, Math.max(low, at < 0 ? at + length : at));
  const from = start === null ? (by > 0 ? 0 : length - 1) : clamp(index(start, 0));
  const to = stop === null ? (by > 0 ? length : -1) : clamp(index(stop, 0));
  for (let i = from; by > 0 ? i < to : i > to; i += by) yield i;
}

export function sliceList(items: readonly Value[], start: Value, stop: Value, step: Value): Value[] {
  return [...slicePositions(items.length, start, stop, step)].map((i) => items[i]!);
}

/** list[index] for an int, from the end where it is negative. */
export function at(items: readonly Value[], key: Value): Value | undefined {
  if (!isInteger(key)) return undefined;
  const index = Number(key);
  return items[index < 0 ? index + items.length : index];
}

/** A position in a sequence as slices take it: from the end where negative, cut to what there is. */
export function bounded(value: Value, length: number): number {
  if (!isInteger(value)) raise("TypeError", wrongIndex);
  const index = Number(value);
  return Math.min(length, index < 0 ? Math.max(0, index + length) : index);
}
