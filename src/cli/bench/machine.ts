/** What the machine gives at most, measured at the start of every benchmark. */
import { cpus } from "node:os";
import { type Device, full, matmul, type Precision, scope, sumSquares } from "../../tensor/index.ts";
import { finished, timesOf } from "./measure.ts";

export interface Machine {
  readonly cpu: string;
  /** The kernels in use and their instruction set. */
  readonly kernels: string;
  readonly threads: number;
  /** f32 multiply-adds in registers, on all threads. */
  readonly fmaGflops: number;
  /** bf16 products in the matrix unit, on all threads; null where the kernels use none. */
  readonly matrixGflops: number | null;
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
    matrixGflops: await matrixGflops(device),
    readGBs: await readGBs(device),
  };
}

export function machineLine(machine: Machine): string {
  const { cpu, kernels, threads, fmaGflops, matrixGflops, readGBs } = machine;
  const unit = matrixGflops === null ? "no matrix unit" : `matrix unit ${matrixGflops.toFixed(0)} GFLOP/s`;
  return `${cpu}, ${kernels}, threads ${threads}: f32 FMA ${fmaGflops.toFixed(0)} GFLOP/s, ${unit}, memory read ${readGBs.toFixed(1)} GB/s`;
}

/** What products of `precision` can reach: bf16 operands go to the matrix unit where there is one, else they are f32 multiply-adds. */
export function peakGflops({ fmaGflops, matrixGflops }: Machine, precision: Precision): number {
  return precision === "bf16" && matrixGflops !== null ? matrixGflops : fmaGflops;
}

async function fmaGflops(device: Device): Promise<number> {
  const { run, threads } = device.kernels;
  // 12 chains of 16 floats fill the registers of every instruction set; a task is 16 such.
  const n = 12 * 16 * 16 * threads;
  const rounds = 40_000;
  const chain = full(device, [n], 1);
  const work = { x: chain.buf, out: chain.buf, n, rounds, a: 0.999, b: 0.001 };
  const ms = Math.min(
    ...(await timesOf(
      7,
      finished(device, () => run.fmaChain(work)),
    )),
  );
  chain.dispose();
  return (2 * n * rounds) / ms / 1e6;
}

/** Instruction sets whose bf16 products run in a matrix unit, or on multiply-adds of pairs. */
const withMatrixUnit: readonly string[] = ["amx", "avx512_bf16"];

/** No kernel is the unit alone: a product so large that packing its operands hardly counts is what comes closest. */
async function matrixGflops(device: Device): Promise<number | null> {
  if (!withMatrixUnit.includes(device.kernels.isa)) return null;
  const n = 4096;
  const [a_nn, b_nn] = [full(device, [n, n], 1), full(device, [n, n], 1)];
  const product = (): void => scope(() => void matmul(a_nn, b_nn, { precision: "bf16" }));
  const ms = Math.min(...(await timesOf(3, finished(device, product))));
  for (const one of [a_nn, b_nn]) one.dispose();
  device.trim();
  return (2 * n ** 3) / ms / 1e6;
}

async function readGBs(device: Device): Promise<number> {
  const floats = 64 << 20; // past every cache
  const long = full(device, [floats], 0);
  const ms = Math.min(
    ...(await timesOf(
      5,
      finished(device, () => scope(() => void sumSquares(long))),
    )),
  );
  long.dispose();
  device.trim();
  return (4 * floats) / ms / 1e6;
}
