/**
 * Where each parameter lies in the arena that a checkpoint holds: written beside the weights, so that a checkpoint of another layout
 * (another order, another alignment) is read by name, and one of another model refused.
 */
import { z } from "zod";
import { fail } from "../errors.ts";
import type { ParameterArena } from "../nn/index.ts";
import { show, sizeOf } from "../tensor/index.ts";

/** Of what {@link ArenaLayout} means: raised where a reader of this one would misread it. */
const version = 1;

const count = z.int().nonnegative();

/** The manifest of an arena. All sizes in elements of f32. */
export interface ArenaLayout {
  readonly version: typeof version;
  /** Of the arena, gaps included. */
  readonly elements: number;
  /** In the order in which they lie there. */
  readonly parameters: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly offset: number;
  }[];
}

export const arenaLayoutSchema: z.ZodType<ArenaLayout> = z.strictObject({
  version: z.literal(version, `this version of Conclave reads layout ${version} of the arena`),
  elements: count,
  parameters: z.array(z.strictObject({ name: z.string(), shape: z.array(count), offset: count })),
});

/** The layout of an arena in memory. */
export function layoutOf({ values, places }: ParameterArena): ArenaLayout {
  const parameters = Array.from(places, ([name, { start, parameter }]) => ({
    name,
    shape: [...parameter.shape],
    offset: start,
  }));
  return { version, elements: values.size, parameters };
}

/** A run of elements to copy. */
interface Move {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/**
 * What to copy from an arena of layout `stored` into one of layout `wanted`; null where the two are the same. Error "checkpoint" with the first
 * difference where they do not hold the same parameters, or `stored` contradicts itself; `source` is the file that holds it.
 */
export function movesBetween(
  stored: ArenaLayout,
  wanted: ArenaLayout,
  source: string,
): readonly Move[] | null {
  checkLayout(stored, source);
  const known = new Map(stored.parameters.map((one) => [one.name, one]));
  const moves = wanted.parameters.map(({ name, shape, offset }): Move => {
    const there = known.get(name);
    if (!there) return differs(source, `it has no parameter ${name}, which the model has`);
    if (show(there.shape) !== show(shape))
      differs(source, `${name} is ${show(there.shape)} in it and ${show(shape)} in the model`);
    known.delete(name);
    return { from: there.offset, to: offset, count: sizeOf(shape) };
  });
  const [surplus] = known.keys();
  if (surplus !== undefined) differs(source, `it has a parameter ${surplus}, which the model has not`);
  const same = stored.elements === wanted.elements && moves.every(({ from, to }) => from === to);
  return same ? null : moves;
}

function differs(source: string, what: string): never {
  return fail(
    "checkpoint",
    `${source}: the checkpoint is of another model: ${what}`,
    "resume with the version of Conclave that wrote it, or start the run anew",
  );
}

function checkLayout({ elements, parameters }: ArenaLayout, source: string): void {
  let end = 0;
  const names = new Set<string>();
  for (const { name, shape, offset } of [...parameters].sort((a, b) => a.offset - b.offset)) {
    const wrong = names.has(name)
      ? "is there twice"
      : offset < end
        ? "overlaps the one before it"
        : offset + sizeOf(shape) > elements
          ? `ends after the ${elements} elements there are`
          : null;
    if (wrong) fail("checkpoint", `${source}: arena: the parameter ${name} ${wrong}`, "the file is damaged");
    names.add(name);
    end = offset + sizeOf(shape);
  }
}

/** `stored` in the other layout; the gaps are zero. */
export function rearranged(
  stored: Float32Array<ArrayBuffer>,
  moves: readonly Move[] | null,
  elements: number,
): Float32Array<ArrayBuffer> {
  if (!moves) return stored;
  const next = new Float32Array(elements);
  for (const { from, to, count } of moves) next.set(stored.subarray(from, from + count), to);
  return next;
}
