/** Models out of GGUF files. */
import { type GgufStore, type StoredTensor, type TensorStore, toFloat32 } from "../../formats/index.ts";
import type { Device } from "../../tensor/index.ts";
import { type ReadOptions, readModel } from "../checkpoint.ts";
import type { Decoder } from "../decoder.ts";
import { readGgufSampling } from "../generation-config.ts";
import { architectureOf } from "./architectures.ts";
import { ArchitectureKeys } from "./keys.ts";

/**
 * Makes the model of a GGUF file and reads its weights, as {@link readModel} does. Errors: "model" where the
 * architecture, a key of its metadata or a tensor is unknown or missing; "config" where sizes do not fit.
 *
 * @param source what errors call the file
 */
export async function readGguf(
  store: GgufStore,
  source: string,
  device: Device,
  options: Pick<ReadOptions, "weights"> = {},
): Promise<Decoder> {
  const json = await ggufConfig(store, source);
  const { layout } = architectureOf(new ArchitectureKeys(store, source));
  const model = await readModel(json, weightsOf(store), device, {
    ...options,
    source,
    layout: (config) => layout(json, config),
  });
  model.generation = readGgufSampling(store.gguf, source);
  return model;
}

/** The config.json that the model of a GGUF file would have. Errors: "model". */
export async function ggufConfig(store: GgufStore, source: string): Promise<Record<string, unknown>> {
  const keys = new ArchitectureKeys(store, source);
  const { config, interleaved } = architectureOf(keys);
  const json = config(keys);
  keys.finish();
  return { ...json, gguf_rope: { interleaved, factors: await ropeFactors(store) } };
}

/** Divisors of the rotary frequencies: Llama 3's scaling as the converter wrote it out. */
const angles = "rope_freqs.weight";

async function ropeFactors(store: TensorStore): Promise<number[] | null> {
  const stored = store.tensors.get(angles);
  return stored ? [...toFloat32(stored.dtype, await store.read(angles))] : null;
}

/**
 * The tensors that are parameters: not the angles, which are part of the config. The shared expert's gate, which converters write
 * as [D] or as [1, D], is [D].
 */
function weightsOf(store: TensorStore): TensorStore {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tensor] of store.tensors) {
    const isGate =
      name.endsWith(".ffn_gate_inp_shexp.weight") && tensor.shape.length === 2 && tensor.shape[0] === 1;
    if (name !== angles) tensors.set(name, isGate ? { ...tensor, shape: tensor.shape.slice(1) } : tensor);
  }
  return { ...store, tensors };
}
