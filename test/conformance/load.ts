import { ConclaveError } from "../../src/errors.ts";
import type { Kernels } from "../../src/kernels/kernels.ts";
import { type KernelsName, selectKernels } from "../../src/kernels/select.ts";

export interface Loaded {
  readonly name: KernelsName;
  /** The best of their kind, or why there are none here. */
  readonly kernels: Kernels | string;
}

/** Kernels of each kind, whatever the environment asks for. */
export async function loadKernels(names: readonly KernelsName[]): Promise<Loaded[]> {
  const load = async (name: KernelsName): Promise<Kernels | string> => {
    try {
      return (await selectKernels({ kernels: name, env: {} })).kernels;
    } catch (error) {
      if (error instanceof ConclaveError && error.code === "kernels") return error.message;
      throw error;
    }
  };
  return Promise.all(names.map(async (name) => ({ name, kernels: await load(name) })));
}
