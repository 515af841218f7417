/**
 * How our parameters lie in Hugging Face files. Ours are stacked (all experts of a layer in one tensor,
 * gate and up in one); every file tensor is one contiguous piece of one of them. One table serves loading
 * and saving.
 *
 * E experts, F hidden width, D width.
 */
import { fail } from "../errors.ts";
import { type Shape, show, sizeOf } from "../tensor/index.ts";

/** A file tensor; its shape is the parameter's where it holds the whole of it. */
export interface FilePart {
  readonly file: string;
  readonly shape: Shape | null;
}

/** The file tensors that one after the other make up a parameter. */
export type FileParts = readonly FilePart[];

/** The ways a parameter may lie in a file, from its layer and shape: the first is the one we write. */
export type PartsRule = (layer: number, shape: Shape) => readonly FileParts[];

/**
 * Rules by parameter name, with # for the layer. A parameter without one lies in the file under its own
 * name.
 */
export type FileLayout = Readonly<Record<string, PartsRule>>;

/** A file tensor with its place in the parameter. */
export interface PlacedPart {
  readonly file: string;
  readonly shape: Shape;
  /** Where it begins in the parameter, in elements. */
  readonly start: number;
}

export function part(file: string, shape: Shape | null = null): FilePart {
  return { file, shape };
}

/** The ways the parameter `name` of `shape` may lie in a file. */
export function placedParts(
  layout: FileLayout,
  name: string,
  shape: Shape,
): readonly (readonly PlacedPart[])[] {
  const layer = /^layers\.(\d+)\./.exec(name);
  const rule = layout[name.replace(/^layers\.\d+\./, "layers.#.")];
  const ways = rule ? rule(layer ? Number(layer[1]) : -1, shape) : [[part(name)]];
  return ways.map((way) => place(name, shape, way));
}

function place(name: string, whole: Shape, parts: FileParts): PlacedPart[] {
  let start = 0;
  const placed = parts.map(({ file, shape }) => {
    const here = { file, shape: shape ?? whole, start };
    start += sizeOf(here.shape);
    return here;
  });
  if (start !== sizeOf(whole))
    fail("state", `the file layout of ${name} covers ${start} of the elements of ${show(whole)}`);
  return placed;
}

/** Embedding, final norm and head, as all our families name them. */
export const decoderParts: FileLayout = {
  "embedding.weight": () => [[part("model.embed_tokens.weight")]],
  "norm.weight": () => [[part("model.norm.weight")]],
  "head.weight": () => [[part("lm_head.weight")]],
};

export const attentionParts: FileLayout = Object.fromEntries(
  ["q", "k", "v", "o"].map((letter): [string, PartsRule] => [
    `layers.#.attention.${letter}.weight`,
    (layer) => [[part(`model.layers.${layer}.self_attn.${letter}_proj.weight`)]],
  ]),
);
