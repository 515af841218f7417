/** What the machine gives at most, measured at the start of every benchmark. */
import { cpus } from "node:os";
import { type Device, full, scope, sumSquares } from "../../tensor/index.ts";
import { timesOf } from "./measure.ts";

export interface Machine {
  readonly cpu: string;
  /** The kernels in use and their instruction set. */
  readonly kernels: string;
  readonly threads: number;
  /** f32 multiply-adds in registers, on all threads. Products in bf16 are f32 sums of rounded inputs: they have no faster unit. */
  readonly fmaGflops: number;
  /** Reading memory once, on all threads. */
  readonly readGBs: number;
}

export async function measureMachine(device: Device): Promise<Machine> {
  const { name, isa, threads } = device.kernels;
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    kernels: isa === "none" ? name : `${name} ${isa}`,
    threads,
    fmaGflops: await fmaGflops(device),
    readGBs: await readGBs(device),
  };
}

export function machineLine(machine: Machine): string {
  const { cpu, kernels, threads, fmaGflops, readGBs } = machine;
  return `${cpu}, ${kernels}, threads ${threads}: peak ${fmaGflops.toFixed(0)} GFLOP/s, memory read ${readGBs.toFixed(1)} GB/s`;
}

async function fmaGflops(device: Device): Promise<number> {
  const { run, threads } = device.kernels;
  // 12 chains of 16 floats fill the registers of every instruction set; a task is 16 such.
  const n = 12 * 16 * 16 * threads;
  const rounds = 40_000;
  const chain = full(device, [n], 1);
  const work = { x: chain.buf, out: chain.buf, n, rounds, a: 0.999, b: 0.001 };
  const ms = Math.min(...(await timesOf(7, () => run.fmaChain(work))));
  chain.dispose();
  return (2 * n * rounds) / ms / 1e6;
}

async function readGBs(device: Device): Promise<number> {
  const floats = 64 << 20; // past every cache
  const long = full(device, [floats], 0);
  const ms = Math.min(...(await timesOf(5, () => scope(() => void sumSquares(long)))));
  long.dispose();
  device.trim();
  return (4 * floats) / ms / 1e6;
}
