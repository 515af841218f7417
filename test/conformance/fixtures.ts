/** The tiny models of every family that test/golden/models.py made, and what transformers computed from them. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { view } from "../../src/formats/dtypes.ts";
import { bytesSource, openSafetensors } from "../../src/formats/index.ts";

const root = fileURLToPath(new URL("../golden/models", import.meta.url));

export const fixtureNames: readonly string[] = readdirSync(root).sort();

export const fixtureFolder = (name: string): string => `${root}/${name}`;

/** T tokens, V vocabulary, K experts a token. */
export interface GoldenModel {
  readonly ids: readonly number[];
  readonly logits_TV: Float32Array;
  /** What follows `ids` cut to {@link promptLength}. */
  readonly greedy: readonly number[];
  /** By layer: the experts of each token, in rising order. */
  readonly routes: ReadonlyMap<number, Int32Array>;
}

/** How many of a fixture's ids its greedy continuation follows. */
export const promptLength = 8;

export async function goldenOf(name: string): Promise<GoldenModel> {
  const bytes = new Uint8Array(readFileSync(`${fixtureFolder(name)}/golden.safetensors`));
  const store = await openSafetensors(bytesSource(bytes));
  const ints = async (tensor: string): Promise<Int32Array> => view(Int32Array, await store.read(tensor));
  const routes = new Map<number, Int32Array>();
  for (const tensor of store.tensors.keys()) {
    const [, layer] = /^routes\.(\d+)$/.exec(tensor) ?? [];
    if (layer) routes.set(Number(layer), await ints(tensor));
  }
  return {
    ids: [...(await ints("ids"))],
    logits_TV: view(Float32Array, await store.read("logits")),
    greedy: [...(await ints("greedy"))],
    routes,
  };
}
