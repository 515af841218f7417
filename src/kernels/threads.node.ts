import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { fail } from "../errors.ts";
import type { WorkerStart } from "./worker-start.ts";

/** What kernels need of the platform, on Node. threads.web.ts is the browser's; package.json "#threads" picks one. */

export { createNativeKernels, type NativeOptions, nativeIsas } from "./native.ts";

/** Whether the calling thread may sleep on shared memory. */
export const mayWait = true;

/** Threads to use when none are asked for. */
export function defaultThreads(): number {
  return availableParallelism();
}

/** Why workers cannot share memory here, or null where they can. */
export function whyNoThreads(): string | null {
  return null;
}

/** Compiles dist/wasm/conclave-<isa>.wasm. */
export async function compileWasm(isa: string): Promise<WebAssembly.Module> {
  // From src/kernels, dist/kernels, and a bundle at dist's top.
  const places = ["../../dist/wasm", "../wasm", "./wasm"].map((folder) =>
    fileURLToPath(new URL(`${folder}/conclave-${isa}.wasm`, import.meta.url)),
  );
  const file = places.find((place) => existsSync(place));
  if (file === undefined)
    return fail("kernels", `conclave-${isa}.wasm is not there`, "build with `npm run build`");
  return WebAssembly.compile(await readFile(file));
}

/** Starts a worker inside the module's pool; resolves when it is about to serve. */
export function startWorker(start: WorkerStart): Promise<{ terminate(): void }> {
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { module, memory, stack } = workerData;
    const { exports } = new WebAssembly.Instance(module, { env: { memory, scratch: () => 0 } });
    exports.__stack_pointer.value = stack;
    parentPort.postMessage("ready");
    exports.cv_worker();
  `;
  // No execArgv: --input-type=module would make the source a module, and preloads would run in every worker.
  const worker = new Worker(source, { eval: true, workerData: start, execArgv: [] });
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", () => {
      worker.unref();
      resolve({ terminate: () => void worker.terminate() });
    });
  });
}
