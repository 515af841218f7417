import { fail } from "../errors.ts";
import type { Kernels } from "./kernels.ts";
import type { WorkerStart } from "./worker-start.ts";

/** What kernels need of the platform, in a browser; threads.node.ts is Node's. package.json "#threads" picks one. */

export interface NativeOptions {
  isa?: string;
  threads?: number;
}

/** @throws ConclaveError "kernels" always: a browser loads no native code. */
export async function createNativeKernels(_options: NativeOptions = {}): Promise<Kernels> {
  return fail("kernels", "native kernels need Node; this is a browser", 'ask for "wasm" kernels');
}

export function nativeIsas(): { name: string; runs: boolean }[] {
  return [];
}

/** Whether the calling thread may sleep on shared memory: a page's own thread may not, a worker may. */
export const mayWait: boolean = !("document" in globalThis);

/** Threads to use when none are asked for. */
export function defaultThreads(): number {
  return globalThis.navigator?.hardwareConcurrency ?? 1;
}

/** Why workers cannot share memory here, or null where they can. */
export function whyNoThreads(): string | null {
  if (globalThis.crossOriginIsolated) return null;
  return "the page is not cross-origin isolated (it needs the COOP and COEP headers)";
}

/** Fetches and compiles the wasm file that lies beside this module. */
export async function compileWasm(isa: string): Promise<WebAssembly.Module> {
  // Written out, so that bundlers see the files.
  const url =
    isa === "relaxed-simd"
      ? new URL("../wasm/conclave-relaxed-simd.wasm", import.meta.url)
      : new URL("../wasm/conclave-simd128.wasm", import.meta.url);
  const response = await fetch(url);
  if (!response.ok)
    return fail("kernels", `${url.href} answers ${response.status}`, "serve the wasm folder of the package");
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Starts a worker inside the module's pool; resolves when it is about to serve. */
export function startWorker(start: WorkerStart): Promise<{ terminate(): void }> {
  const source = `
    onmessage = ({ data: { module, memory, stack } }) => {
      const { exports } = new WebAssembly.Instance(module, { env: { memory, scratch: () => 0 } });
      exports.__stack_pointer.value = stack;
      postMessage("ready");
      exports.cv_worker();
      close();
    };
  `;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  return new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message));
    worker.onmessage = () => {
      URL.revokeObjectURL(url);
      resolve({ terminate: () => worker.terminate() });
    };
    worker.postMessage(start);
  });
}
