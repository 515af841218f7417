/** Conclave as a peer of the others: node conclave.mjs [native|wasm] [threads]. Times the workloads of `conclave bench`. */
import { readFileSync } from "node:fs";
import {
  gemmWorkload,
  measureMachine,
  moeWorkload,
  trainBenchConfig,
  trainWorkload,
} from "../../dist/cli/bench/workloads.js";
import { selectKernels } from "../../dist/kernels/index.js";
import { Device } from "../../dist/tensor/index.js";
import { serve } from "./protocol.mjs";

const [name = "native", threads = "2"] = process.argv.slice(2);
const { kernels } = await selectKernels({ kernels: name, threads: Number(threads) });
const device = new Device(kernels);
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

function workloadOf(one) {
  switch (one.op) {
    case "moe": {
      const workload = moeWorkload(device, one, one.dtype);
      return { ...workload, pass: workload.passes[one.pass] };
    }
    case "gemm":
      return gemmWorkload(device, one, one.dtype);
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
  (one) => {
    const { pass, dispose, memory } = workloadOf(one);
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
