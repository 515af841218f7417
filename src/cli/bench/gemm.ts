/** `conclave bench gemm`: one product [m,k] x [k,n]. */
import type { Command } from "commander";
import { type Device, matmul, type Precision, Random, scope, tensor } from "../../tensor/index.ts";
import { openDevice } from "../options.ts";
import { print, printJson, table } from "../output.ts";
import { machineLine, measureMachine, peakGflops } from "./machine.ts";
import { finished, type Pass, type Timing, timing } from "./measure.ts";

export interface GemmShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

interface GemmTiming extends GemmShape, Timing {
  readonly dtype: Precision;
  readonly threads: number;
}

interface GemmFlags {
  readonly shape?: readonly GemmShape[];
  readonly dtype: Precision;
  readonly runs: number;
  readonly json?: boolean;
}

/** Does what `conclave bench gemm` was asked. */
export async function runGemm(flags: GemmFlags, command: Command): Promise<void> {
  const { device } = await openDevice(command);
  const machine = await measureMachine(device);
  const peak = peakGflops(machine, flags.dtype);
  const results: GemmTiming[] = [];
  for (const shape of flags.shape ?? [{ m: 1024, n: 1024, k: 1024 }]) {
    const workload = gemmWorkload(device, shape, flags.dtype);
    const figures = await timing(device, workload.pass, flags.runs, peak);
    results.push({ ...shape, dtype: flags.dtype, threads: machine.threads, ...figures });
    workload.dispose();
  }
  if (flags.json) printJson({ machine, results });
  else {
    const rows = results.map((r) => [
      `${r.m} x ${r.n} x ${r.k}`,
      r.dtype,
      r.medianMs.toFixed(2),
      r.minMs.toFixed(2),
      r.gflops.toFixed(0),
      `${(100 * r.shareOfPeak).toFixed(0)} %`,
    ]);
    const head = ["m x n x k", "dtype", "median ms", "min ms", "GFLOP/s", "of peak"];
    print(`${machineLine(machine)}\n\n${table(head, rows)}`);
  }
  device.dispose();
}

export interface GemmWorkload {
  readonly pass: Pass;
  dispose(): void;
}

export function gemmWorkload(device: Device, { m, n, k }: GemmShape, precision: Precision): GemmWorkload {
  const random = new Random(1, "bench");
  const a_mk = tensor(device, random.normals(m * k), [m, k]);
  const b_kn = tensor(device, random.normals(k * n), [k, n]);
  return {
    pass: {
      flops: 2 * m * n * k,
      body: finished(device, () => scope(() => void matmul(a_mk, b_kn, { precision }))),
    },
    dispose() {
      a_mk.dispose();
      b_kn.dispose();
    },
  };
}
