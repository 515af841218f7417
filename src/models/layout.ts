/**
 * How our parameters lie in files. Ours are stacked (all experts of a layer in one tensor, gate and up in one); a
 * file's tensors are pieces of them, as they are or after a transform. One table serves loading and saving.
 *
 * E experts, F hidden width, D width.
 */
import { fail } from "../errors.ts";
import type { StoredDType } from "../formats/index.ts";
import { type DType, type Shape, show, sizeOf, type Tensor } from "../tensor/index.ts";

/** A contiguous run of the elements of a file tensor. */
export interface FileRun {
  readonly file: string;
  /** Of the whole file tensor. */
  readonly shape: Shape;
  /** Its first element and how many there are. */
  readonly start: number;
  readonly size: number;
}

/** Makes a piece of a parameter from what the file holds, and back. Parts that need one are made when they are first used. */
export interface Transform {
  readonly name: string;
  /** The dtypes it reads, for each of its runs in order: that of the part, then those of `beside`. */
  readonly dtypes: readonly (readonly StoredDType[])[];
  /** What else it reads, such as the scales of a block. */
  readonly beside: readonly FileRun[];
  /** The dtype of the piece, by those of the runs. */
  dtype(runs: readonly DType[]): DType;
  /** From the runs, each a list of elements (bytes, u8, where their dtype is none of ours), to the piece, row by row. Pure. */
  make(runs: readonly Tensor[]): Tensor;
  /** From the values of the piece to those of its run in the file; null where files are not written so. Pure. */
  readonly write: ((values: Float32Array<ArrayBuffer>) => Float32Array<ArrayBuffer>) | null;
}

/** A file tensor, or a run of it, that is a piece of a parameter. */
export interface FilePart {
  readonly file: string;
  /** Of the piece; null: of the whole parameter. */
  readonly shape: Shape | null;
  /**
   * Where the piece lies in a larger file tensor (fused or stacked); null: it is the whole of it. `size`: how many of the file's elements,
   * where a transform makes more or fewer of them.
   */
  readonly from: { readonly shape: Shape; readonly start: number; readonly size?: number } | null;
  /** Null: the file's elements are the piece's, in order. */
  readonly transform: Transform | null;
}

/** The parts that one after the other make up a parameter. */
export type FileParts = readonly FilePart[];

/** The ways a parameter may lie in a file, from its layer and shape: the first is the one we write. */
export type PartsRule = (layer: number, shape: Shape) => readonly FileParts[];

/**
 * Rules by parameter name, with # for the layer. A parameter without one lies in the file under its own
 * name.
 */
export type FileLayout = Readonly<Record<string, PartsRule>>;

/** A part with its place in the parameter. */
export interface PlacedPart {
  readonly run: FileRun;
  readonly shape: Shape;
  /** Where it begins in the parameter, in elements. */
  readonly start: number;
  readonly transform: Transform | null;
}

export function part(file: string, shape: Shape | null = null): FilePart {
  return { file, shape, from: null, transform: null };
}

/** The piece of `shape` that begins at element `start` of a file tensor of shape `whole`. */
export function partOfLarger(file: string, shape: Shape, whole: Shape, start: number): FilePart {
  return { file, shape, from: { shape: whole, start }, transform: null };
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

/** Everything of the file that a part needs: its own run first. */
export function runsOf({ run, transform }: PlacedPart): readonly FileRun[] {
  return transform ? [run, ...transform.beside] : [run];
}

function place(name: string, whole: Shape, parts: FileParts): PlacedPart[] {
  let start = 0;
  const placed = parts.map(({ file, shape: own, from, transform }) => {
    const shape = own ?? whole;
    const size = from?.size ?? sizeOf(shape);
    const run = { file, shape: from?.shape ?? shape, start: from?.start ?? 0, size };
    const here = { run, shape, start, transform };
    start += sizeOf(shape);
    return here;
  });
  if (start !== sizeOf(whole))
    fail("state", `the file layout of ${name} covers ${start} of the elements of ${show(whole)}`);
  return placed;
}

/** One parameter that is one file tensor: `name` after the layer's own prefix. */
function whole(name: string): PartsRule {
  return (layer) => [[part(`model.layers.${layer}.${name}`)]];
}

/** Embedding, norms and head, as nearly all families name them. */
export const decoderParts: FileLayout = {
  "embedding.weight": () => [[part("model.embed_tokens.weight")]],
  "norm.weight": () => [[part("model.norm.weight")]],
  "head.weight": () => [[part("lm_head.weight")]],
  "layers.#.attentionNorm.weight": whole("input_layernorm.weight"),
  "layers.#.mlpNorm.weight": whole("post_attention_layernorm.weight"),
};

/** Projections with their biases, and the norms of queries and keys where there are any. */
export const attentionParts: FileLayout = Object.fromEntries([
  ...["q", "k", "v", "o"].flatMap((letter): [string, PartsRule][] =>
    ["weight", "bias"].map((kind) => [
      `layers.#.attention.${letter}.${kind}`,
      whole(`self_attn.${letter}_proj.${kind}`),
    ]),
  ),
  ["layers.#.attention.qNorm.weight", whole("self_attn.q_norm.weight")],
  ["layers.#.attention.kNorm.weight", whole("self_attn.k_norm.weight")],
]);

/** A dense feed-forward layer. */
export const mlpParts: FileLayout = {
  "layers.#.mlp.gateUp": (at, shape) => [gateUpPair(`model.layers.${at}.mlp`, shape)],
  "layers.#.mlp.down.weight": whole("mlp.down_proj.weight"),
};

/** gate_proj and up_proj under `prefix`, which together are our [2F, D] or [1, 2F, D]. */
export function gateUpPair(prefix: string, shape: Shape): FileParts {
  const [rows, width] = shape.slice(-2);
  return ["gate", "up"].map((name) => part(`${prefix}.${name}_proj.weight`, [rows / 2, width]));
}

/** Experts as nearly all families since OLMoE name them: one file tensor a matrix, or fused. */
export const expertParts: FileLayout = {
  "layers.#.moe.router.gate.weight": whole("mlp.gate.weight"),
  "layers.#.moe.experts.gateUp": (at, shape) => [
    eachExpert(shape, (e) => gateUpPair(`model.layers.${at}.mlp.experts.${e}`, shape)),
    [part(`model.layers.${at}.mlp.experts.gate_up_proj`)],
  ],
  "layers.#.moe.experts.down": (at, shape) => [
    eachExpert(shape, (e) => [part(`model.layers.${at}.mlp.experts.${e}.down_proj.weight`, shape.slice(1))]),
    [part(`model.layers.${at}.mlp.experts.down_proj`)],
  ],
};

/** The parts of each of E experts, one after the other; shape [E, ...]. */
export function eachExpert([experts]: Shape, partsOf: (expert: number) => FileParts): FileParts {
  return Array.from({ length: experts }, (_, expert) => partsOf(expert)).flat();
}
