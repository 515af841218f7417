/**
 * Tensors under other names than a model's own: checkpoints that were saved without their head have no leading "model.", and some have
 * one too many. transformers 5.18 loads those, and so does this. Nothing else is guessed.
 */
import { fail } from "../errors.ts";
import type { StoredTensor, TensorStore } from "../formats/index.ts";
import type { Decoder } from "./decoder.ts";
import { type FileLayout, placedParts, runsOf } from "./layout.ts";

/**
 * The same tensors under the names that `layout` has for them; the store itself where they have those already. Errors: "model", where
 * two tensors would have one name.
 */
export function namedFor(model: Decoder, layout: FileLayout, store: TensorStore): TensorStore {
  const names = [...store.tensors.keys()];
  const root = fileOf(layout, "embedding.weight").replace(/[^.]*\.weight$/, "");
  const head = fileOf(layout, "head.weight");
  if (names.every((name) => name === head || isUsual(name, root))) return store;
  const expected = expectedFiles(model, layout).add(head);
  const isExpected = (name: string): boolean =>
    expected.has(name.replace(/_scale_inv$/, "")) || model.leavesOut(name);
  const own = new Map<string, string>();
  for (const name of names) {
    const as = spellings(name, model.namePrefixes).find(isExpected) ?? name;
    const other = own.get(as);
    if (other !== undefined)
      fail("model", `the weights hold both ${other} and ${name}, which are one tensor`);
    own.set(as, name);
  }
  return renamed(store, own);
}

/** The file tensor of a parameter that is one of its own. */
export function fileOf(layout: FileLayout, name: string): string {
  return placedParts(layout, name, [1, 1])[0][0].run.file;
}

function isUsual(name: string, root: string): boolean {
  return name.startsWith(root) && !name.startsWith(root + root);
}

function expectedFiles(model: Decoder, layout: FileLayout): Set<string> {
  const files = new Set<string>();
  for (const [name, { shape }] of model.tensors())
    for (const way of placedParts(layout, name, shape))
      for (const part of way) for (const { file } of runsOf(part)) files.add(file);
  return files;
}

/** What a tensor may be called: as it is, with a prefix, without it. */
function spellings(name: string, prefixes: readonly string[]): string[] {
  const less = prefixes
    .filter((prefix) => name.startsWith(prefix))
    .map((prefix) => name.slice(prefix.length));
  return [name, ...prefixes.map((prefix) => prefix + name), ...less];
}

/** A store whose tensors are called otherwise: `own` has the file's name of each. */
export function renamed(store: TensorStore, own: ReadonlyMap<string, string>): TensorStore {
  const tensors = new Map<string, StoredTensor>();
  for (const [as, name] of own) tensors.set(as, { ...store.tensors.get(name)!, name: as });
  return {
    ...store,
    tensors,
    read: (name, begin, end) => store.read(own.get(name) ?? name, begin, end),
  };
}

const wrappers: readonly (readonly [prefix: string, what: string])[] = [
  ["module.", "DistributedDataParallel's wrapper was saved with the model"],
  ["_orig_mod.", "torch.compile's wrapper was saved with the model"],
  ["base_model.model.", "PEFT's wrapper was saved with the model"],
  ["transformer.", "the tensors have another library's names"],
  ["language_model.", "the text model was cut out of one that also sees"],
];

/** What to do about weights that lack `missing`, from the names that they have. */
export function remedyForMissing(
  missing: string,
  head: string,
  names: readonly string[],
): string | undefined {
  if (names.some((name) => /\blora_[AB]\b/.test(name)))
    return "these are the weights of a LoRA adapter: merge it into its model (merge_and_unload of PEFT) and save that";
  const wrapper = wrappers.find(([prefix]) => names.every((name) => name.startsWith(prefix)));
  if (wrapper)
    return `every name begins with ${JSON.stringify(wrapper[0])}: ${wrapper[1]}; save the tensors without it, as transformers wants them too`;
  if (missing === head)
    return "the model was saved without its output layer: use a folder saved from the causal language model, or say tie_word_embeddings in config.json where the embedding is the output layer";
  return undefined;
}
