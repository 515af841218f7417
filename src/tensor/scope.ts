import { fail } from "../errors.ts";

interface Disposable {
  dispose(): void;
}

interface Scope {
  readonly made: Set<Disposable>;
  readonly outer: Scope | null;
}

let current: Scope | null = null;

/** Called by every tensor as it is made. */
export function adopt(tensor: Disposable): void {
  current?.made.add(tensor);
}

/**
 * Runs `body` and frees every tensor made in it, but for those in its result (a tensor, or tensors in arrays, maps,
 * sets, plain objects or class instances, however nested), which pass to the enclosing scope. `body` is synchronous:
 * read values after.
 */
export function scope<T>(body: () => T): T {
  const mine: Scope = { made: new Set(), outer: current };
  current = mine;
  let result: T;
  try {
    result = body();
    if (result instanceof Promise) {
      fail("state", "scope: the body is asynchronous", "return tensors and await their data outside");
    }
  } catch (error) {
    for (const tensor of mine.made) tensor.dispose();
    throw error;
  } finally {
    current = mine.outer;
  }
  const kept = new Set<Disposable>();
  collect(result, mine.made, kept, new Set());
  for (const tensor of mine.made) {
    if (kept.has(tensor)) mine.outer?.made.add(tensor);
    else tensor.dispose();
  }
  return result;
}

/** Takes `tensor` out of every scope: it lives until it is disposed of by hand. */
export function keep<T extends Disposable>(tensor: T): T {
  for (let s = current; s; s = s.outer) s.made.delete(tensor);
  return tensor;
}

/** Puts into `kept` those of `made` that `value` holds. */
function collect(value: unknown, made: Set<Disposable>, kept: Set<Disposable>, seen: Set<object>): void {
  if (typeof value !== "object" || value === null || seen.has(value) || ArrayBuffer.isView(value)) return;
  seen.add(value);
  if (made.has(value as Disposable)) {
    kept.add(value as Disposable);
    return;
  }
  if ("dispose" in value) return; // a tensor or device of an outer scope: nothing of ours inside
  const isCollection = value instanceof Map || value instanceof Set;
  for (const part of isCollection ? value.values() : Object.values(value)) collect(part, made, kept, seen);
}
