/** Conclave as a peer of the others: node conclave.mjs [native|wasm] [threads]. Times the workloads of `conclave bench`. */
import { readFileSync } from "node:fs";
import {
  gemmWorkload,
  measureMachine,
  moeWorkload,
  trainBenchConfig,
  trainWorkload,
} from "../../dist/cli/bench/workloads.js";
import { ExpertCache, generate } from "../../dist/infer/index.js";
import { selectKernels } from "../../dist/kernels/index.js";
import { loadModel } from "../../dist/models/index.js";
import { context, Device } from "../../dist/tensor/index.js";
import { serve } from "./protocol.mjs";

const [name = "native", threads = "2"] = process.argv.slice(2);
const { kernels } = await selectKernels({ kernels: name, threads: Number(threads) });
const device = new Device(kernels);
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

/**
 * Reading a prompt, or writing tokens after it, greedily or drawn at a temperature; rows are rounded to 8 bits for weights in blocks, as
 * llama.cpp does. `expertCache`: bytes of experts that stay in memory.
 */
async function generateWorkload({ op, model: path, prompt, tokens, temperature = 0, seed = 0, expertCache }) {
  const model = await loadModel(path, device);
  const layers = model.blocks.flatMap(({ moe }) => (moe ? [moe] : []));
  const cache = expertCache === undefined ? null : new ExpertCache(layers, device, expertCache);
  const ctx = context({ precision: "bf16", ...(cache && { tap: cache.tap }) });
  let turn = 0;
  const body = async () => {
    const began = performance.now();
    let first = 0;
    for await (const { index } of generate(model, prompt, {
      maxTokens: tokens,
      temperature,
      seed: seed + turn++,
      eosIds: [],
      ctx,
    })) {
      if (index === 0) first = performance.now();
    }
    return op === "prefill" ? first - began : (performance.now() - first) / (tokens - 1);
  };
  return { pass: { body }, memory: () => cache?.figures ?? {}, dispose: () => model.dispose() };
}

function workloadOf(one) {
  switch (one.op) {
    case "moe": {
      const workload = moeWorkload(device, one, one.dtype);
      return { ...workload, pass: workload.passes[one.pass] };
    }
    case "gemm":
      return gemmWorkload(device, one, one.dtype);
    case "prefill":
    case "decode":
      return generateWorkload(one);
    case "train":
      return trainWorkload(device, trainBenchConfig(one.model, one.dtype));
    default:
      throw new Error(`no ${one.op}`);
  }
}

await serve(
  {
    name: "Conclave",
    version,
    kernels: `${kernels.name} ${kernels.isa}`,
    threads: kernels.threads,
    peaks: await measureMachine(device),
  },
  async (one) => {
    const { pass, dispose, memory } = await workloadOf(one);
    return {
      run: pass.body,
      memory,
      dispose() {
        dispose();
        device.trim();
      },
    };
  },
);
