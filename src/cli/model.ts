import { ConclaveError, fail } from "../errors.ts";
import { hasTokenizer, loadTokenizer } from "../formats/files.ts";
import type { Tokenizer } from "../formats/index.ts";
import { blockOf } from "../kernels/abi.ts";
import { type Decoder, loadModel } from "../models/index.ts";
import { causalityNotes } from "../moe/index.ts";
import type { Device, Precision } from "../tensor/index.ts";
import { idList } from "./options.ts";
import { commandLine, harmless, remark } from "./output.ts";

export { resolveModel } from "./resolve-model.ts";

/** Checks the precision option. */
export function precisionOf(name: string): Precision {
  return name === "f32" || name === "bf16"
    ? name
    : fail("usage", `--precision takes bf16 or f32, not ${JSON.stringify(name)}`);
}

/** What `generate` and `chat` take as --precision: "auto" leaves it to the model's weights. */
export function checkPrecision(name: string): Precision | "auto" {
  return name === "auto" || name === "f32" || name === "bf16"
    ? name
    : fail("usage", `--precision takes auto, bf16 or f32, not ${JSON.stringify(name)}`);
}

/**
 * The precision asked for. "auto": f32, but "bf16" for weights in blocks, whose own rounding is coarser than that of rows in 8 bits, and
 * whose products are several times as fast so.
 */
export function productPrecision(asked: Precision | "auto", model: Decoder): Precision {
  if (asked !== "auto") return asked;
  for (const [, { pieces }] of model.tensors())
    if (pieces?.some(({ dtype }) => blockOf(dtype).elements > 1)) return "bf16";
  return "f32";
}

/** The weights of a model folder or .gguf file. What of its files was passed over is said. */
export async function openModel(path: string, device: Device): Promise<Decoder> {
  const model = await loadModel(path, device);
  for (const note of model.notes) remark(harmless(note, process.stderr));
  return model;
}

/** Says what follows for the user from a model that is not causal. */
export function remarkCausality({ causality }: Decoder, consequence: string): void {
  if (causality !== "causal")
    remark(`not a causal model (${causality}): ${causalityNotes[causality].why}, so ${consequence}`);
}

/** Why such a model is slower to write. */
export const readAnew = "the whole text is read anew for every token";

/** What `generate` was given to continue, text or ids; `model` as it was named. */
export function promptOf(
  model: string,
  prompt: string | undefined,
  ids: string | undefined,
): string | number[] {
  if (prompt !== undefined && ids === undefined) return prompt;
  if (prompt === undefined && ids !== undefined) return idList(ids);
  if (prompt !== undefined)
    return fail("usage", "a prompt and --ids are given; only one can be continued", "leave one of them out");
  return fail(
    "usage",
    "generate continues a prompt, and none is given",
    `type it after the model: ${commandLine("generate", model, "Once upon a time")}`,
  );
}

/** The tokens of a {@link promptOf}. */
export async function promptIds(
  path: string,
  prompt: string | number[],
): Promise<{ ids: number[]; tokenizer: Tokenizer | null }> {
  if (typeof prompt !== "string") return { ids: prompt, tokenizer: await readableTokenizer(path) };
  const tokenizer = await loadTokenizer(path);
  const encoded = [...tokenizer.encode(prompt, { addSpecial: true })];
  if (encoded.length === 0)
    fail(
      "usage",
      "the prompt is empty, and the model begins no text by itself",
      "type some text to continue",
    );
  return { ids: encoded, tokenizer };
}

/** The tokenizer, for a prompt of ids: null where there is none, and where it is of a kind that is not read, which is said. */
async function readableTokenizer(path: string): Promise<Tokenizer | null> {
  if (!(await hasTokenizer(path))) return null;
  try {
    return await loadTokenizer(path);
  } catch (error) {
    if (!(error instanceof ConclaveError && error.code === "tokenizer")) throw error;
    remark(`ids without text: ${harmless(error.message, process.stderr)}`);
    return null;
  }
}

/** The label of a text's tokens: a model that routes by label needs one, and no other takes it. */
export function labelFor(model: Decoder, label: string | undefined): string | undefined {
  const known = model.routers.flatMap(({ spec: { select } }) =>
    select.by === "label" ? Object.keys(select.table) : [],
  );
  const takes = `--label takes one of ${[...new Set(known)].join(", ")}`;
  if (known.length === 0 && label !== undefined)
    fail("usage", "--label: the model does not route by label", "leave --label out");
  if (known.length > 0 && label === undefined)
    fail("usage", "the model routes by label, and none is given", takes);
  if (label !== undefined && !known.includes(label)) fail("usage", `${takes}, not ${JSON.stringify(label)}`);
  return label;
}
