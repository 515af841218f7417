import { createNativeKernels, nativeIsas } from "#threads";
import { ConclaveError, fail } from "../errors.ts";
import type { Kernels } from "./kernels.ts";
import { createReferenceKernels } from "./reference/index.ts";
import { createWasmKernels, wasmIsas } from "./wasm.ts";

/** Which kernels to use: the best that load, or what the caller or the environment asks for. */

export type KernelsName = Kernels["name"];

export interface SelectOptions {
  /** One implementation instead of the best (CONCLAVE_KERNELS). */
  kernels?: KernelsName;
  /** One instruction set instead of the best (CONCLAVE_ISA): of native, or of wasm. */
  isa?: string;
  /** Threads that compute (CONCLAVE_THREADS). */
  threads?: number;
  /** Where the three variables are read; `process.env` where there is one. */
  env?: Readonly<Record<string, string | undefined>>;
}

/** One implementation that was considered, in order of preference. */
export interface KernelAttempt {
  kernels: KernelsName;
  state: "loaded" | "failed" | "not tried";
  /** Why it is not in use; or what is in use. */
  reason: string;
}

export interface KernelReport {
  kernels: KernelsName;
  isa: string;
  threads: number;
  attempts: KernelAttempt[];
}

const preference: readonly KernelsName[] = ["native", "wasm", "reference"];
const wasmOnly = new Set(["simd128", "relaxed-simd"]);

/**
 * Loads the best kernels, or those asked for, and reports what was tried.
 * @throws ConclaveError "kernels" when what was asked for is not to be had, "usage" when it is not a name or number.
 */
export async function selectKernels(
  options: SelectOptions = {},
): Promise<{ kernels: Kernels; report: KernelReport }> {
  const wish = wishOf(options);
  const attempts: KernelAttempt[] = [];
  let kernels: Kernels | undefined;
  for (const name of preference) {
    if (kernels !== undefined || (wish.kernels !== undefined && wish.kernels !== name)) {
      const reason = kernels === undefined ? `${wish.kernels} was asked for` : `${kernels.name} loaded`;
      attempts.push({ kernels: name, state: "not tried", reason });
      continue;
    }
    try {
      kernels = await load(name, wish);
      attempts.push({ kernels: name, state: "loaded", reason: `${kernels.isa}, ${kernels.threads} threads` });
    } catch (error) {
      // An explicit wish is never replaced by something else; a memory error is no reason to try slower kernels.
      if (!(error instanceof ConclaveError) || error.code !== "kernels" || wish.kernels === name) throw error;
      attempts.push({ kernels: name, state: "failed", reason: error.message });
    }
  }
  if (kernels === undefined)
    return fail(
      "kernels",
      attempts.map((a) => `${a.kernels}: ${a.reason}`).join("; "),
      "ask for no kernels (--kernels, CONCLAVE_KERNELS) to use the fastest that load",
    );
  return { kernels, report: { kernels: kernels.name, isa: kernels.isa, threads: kernels.threads, attempts } };
}

interface Wish {
  kernels: KernelsName | undefined;
  isa: string | undefined;
  threads: number | undefined;
}

function load(name: KernelsName, { isa, threads }: Wish): Promise<Kernels> {
  switch (name) {
    case "native":
      return createNativeKernels({ isa, threads });
    case "wasm":
      return createWasmKernels({ isa, threads });
    case "reference":
      return Promise.resolve(createReferenceKernels());
  }
}

function wishOf(options: SelectOptions): Wish {
  const env = options.env ?? globalThis.process?.env ?? {};
  const isa = options.isa ?? (env.CONCLAVE_ISA || undefined);
  const threads = options.threads ?? (env.CONCLAVE_THREADS ? Number(env.CONCLAVE_THREADS) : undefined);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 1024)) {
    return fail(
      "usage",
      `threads (CONCLAVE_THREADS) must be a whole number from 1 to 1024, not ${options.threads ?? env.CONCLAVE_THREADS}`,
    );
  }
  const asked = options.kernels ?? (env.CONCLAVE_KERNELS || undefined);
  const kernels = preference.find((name) => name === asked);
  if (asked !== undefined && kernels === undefined) {
    return fail(
      "usage",
      `kernels (CONCLAVE_KERNELS) must be one of ${preference.join(", ")}, not "${asked}"`,
    );
  }
  if (isa !== undefined && kernels === "reference")
    return fail(
      "usage",
      `the reference kernels have no instruction sets; "${isa}" (CONCLAVE_ISA) was asked for`,
      "leave CONCLAVE_ISA unset",
    );
  // An instruction set names its implementation.
  return {
    kernels: kernels ?? (isa === undefined ? undefined : wasmOnly.has(isa) ? "wasm" : "native"),
    isa,
    threads,
  };
}

/** An implementation for tests to make, or the reason why it cannot be made here. */
export interface Implementation {
  /** For example "native avx2, 2 threads". */
  label: string;
  skip: string | null;
  make(): Promise<Kernels>;
}

/** Every compiled implementation, with 1 and with 2 threads or with the reason why not, for test suites. */
export async function listImplementations(): Promise<Implementation[]> {
  const found: Implementation[] = [];
  const add = (name: string, skip: string | null, make: (threads: number) => Promise<Kernels>): void => {
    if (skip !== null) found.push({ label: name, skip, make: () => make(1) });
    else
      for (const threads of [1, 2]) {
        const label = `${name}, ${threads} thread${threads > 1 ? "s" : ""}`;
        found.push({ label, skip: null, make: () => make(threads) });
      }
  };
  try {
    for (const { name: isa, runs } of nativeIsas())
      add(`native ${isa}`, runs ? null : "this machine does not run it", (threads) =>
        createNativeKernels({ isa, threads }),
      );
  } catch (error) {
    add("native", (error as Error).message, (threads) => createNativeKernels({ threads }));
  }
  for (const isa of wasmOnly) {
    const runs = wasmIsas().includes(isa);
    add(`wasm ${isa}`, runs ? null : "this JavaScript engine does not run it", (threads) =>
      createWasmKernels({ isa, threads }),
    );
  }
  return found;
}
