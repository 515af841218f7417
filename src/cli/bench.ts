import { cpus } from "node:os";
import { Command } from "commander";
import { fail } from "../errors.ts";
import { MoeLayer, parseRoutingSpec, SwigluExperts } from "../moe/index.ts";
import { materialise } from "../nn/index.ts";
import {
  context,
  type Device,
  full,
  type Precision,
  Random,
  reshape,
  scope,
  sum,
  sumSquares,
  Tape,
  tensor,
  watch,
} from "../tensor/index.ts";
import { openDevice, whole } from "./options.ts";
import { print, printJson, remark, table } from "./output.ts";

/** A layer to time: width D, expert width F, E experts, K picks a token, T tokens. */
interface MoeShape {
  readonly D: number;
  readonly F: number;
  readonly E: number;
  readonly K: number;
  readonly T: number;
}

interface MoeTiming extends MoeShape {
  readonly dtype: Precision;
  readonly threads: number;
  readonly pass: "forward" | "forward+backward";
  readonly medianMs: number;
  readonly minMs: number;
  readonly gflops: number;
  /** Of the multiply-add rate measured at the start. */
  readonly shareOfPeak: number;
}

const defaultShapes: readonly MoeShape[] = [
  { D: 512, F: 1024, E: 8, K: 2, T: 2048 },
  { D: 512, F: 256, E: 64, K: 8, T: 2048 },
];

export function benchCommand(): Command {
  const bench = new Command("bench").description("Measure speed.");
  bench
    .command("moe")
    .description("Time an MoE layer, forward alone and with backward.")
    .option(
      "--shape <D,F,E,K,T>",
      "width, expert width, experts, picks a token, tokens; may be given more than once",
      collect,
    )
    .option("--dtype <name>", "bf16 or f32", "bf16")
    .option("--runs <n>", "timed runs of each", whole("--runs", 1), 9)
    .option("--json", "print as JSON")
    .addHelpText("after", "\nExample:\n  conclave bench moe --shape 512,1024,8,2,2048 --dtype f32")
    .action(
      async (
        options: { shape?: MoeShape[]; dtype: string; runs: number; json?: boolean },
        command: Command,
      ) => {
        const { device } = await openDevice(command);
        const dtype = options.dtype;
        if (dtype !== "bf16" && dtype !== "f32")
          fail("usage", `--dtype takes bf16 or f32, not ${JSON.stringify(dtype)}`);
        const machine = {
          cpu: cpus()[0]?.model ?? "unknown",
          kernels: device.kernels.isa,
          ...measurePeaks(device),
        };
        const shapes = options.shape ?? defaultShapes;
        const results = shapes.flatMap((shape) =>
          timeLayer(device, shape, dtype, options.runs, machine.fmaGflops),
        );
        if (options.json) printJson({ machine, results });
        else show(machine, results);
        device.dispose();
      },
    );
  return bench;
}

function collect(text: string, before: MoeShape[] = []): MoeShape[] {
  const numbers = text.split(",").map(whole("--shape", 1));
  if (numbers.length !== 5)
    fail("usage", `--shape takes five numbers D,F,E,K,T, not ${JSON.stringify(text)}`);
  const [D, F, E, K, T] = numbers;
  if (K > E) fail("usage", `--shape ${text}: K (${K}) is above E (${E})`);
  return [...before, { D, F, E, K, T }];
}

/** What the machine gives at most, measured at the start. */
interface Peaks {
  /** f32 multiply-adds in registers, on all threads. The kernels have no faster unit: bf16 products are f32 sums of rounded inputs. */
  readonly fmaGflops: number;
  /** Reading memory once, on all threads. */
  readonly readGBs: number;
}

function measurePeaks(device: Device): Peaks {
  const { run, threads } = device.kernels;
  return scope(() => {
    const n = 12 * 16 * 16 * threads;
    const rounds = 40_000;
    const chain = full(device, [n], 1);
    const work = { x: chain.buf, out: chain.buf, n, rounds, a: 0.999, b: 0.001 };
    const chainMs = Math.min(...times(7, () => run.fmaChain(work)));
    const floats = 64 << 20;
    const long = full(device, [floats], 0);
    const readMs = Math.min(...times(5, () => void sumSquares(long)));
    return { fmaGflops: (2 * n * rounds) / chainMs / 1e6, readGBs: (4 * floats) / readMs / 1e6 };
  });
}

function times(runs: number, body: () => void): number[] {
  body();
  return Array.from({ length: runs }, () => {
    const began = performance.now();
    body();
    return performance.now() - began;
  });
}

function timeLayer(
  device: Device,
  shape: MoeShape,
  precision: Precision,
  runs: number,
  peak: number,
): MoeTiming[] {
  const { D, F, E, K, T } = shape;
  const spec = parseRoutingSpec({ experts: E, order: "select-then-score", select: { by: "token", k: K } });
  const layer = new MoeLayer({
    spec,
    width: D,
    experts: new SwigluExperts({ count: E, width: D, hidden: F }),
  });
  const arena = materialise(layer, device, 1);
  const x_TD = watch(tensor(device, new Random(1, "bench").normals(T * D), [T, D]), (grad) => grad.dispose());
  const ctx = context({ precision });
  const forward = () => scope(() => void layer.forward(x_TD, ctx));
  const both = () =>
    scope(() => {
      const tape = new Tape();
      tape.backward(tape.run(() => sum(reshape(layer.forward(x_TD, ctx).y, [T * D]))));
    });
  // Three products of 2*D*F a routed row forward, twice that backward.
  const flops = 6 * D * F * T * K;
  const figure = (pass: MoeTiming["pass"], work: number, body: () => void): MoeTiming => {
    const sorted = times(runs, body).sort((a, b) => a - b);
    const medianMs = sorted[Math.floor(sorted.length / 2)];
    const gflops = work / medianMs / 1e6;
    return {
      ...shape,
      dtype: precision,
      threads: device.kernels.threads,
      pass,
      medianMs,
      minMs: sorted[0],
      gflops,
      shareOfPeak: gflops / peak,
    };
  };
  remark(`timing D=${D} F=${F} E=${E} K=${K} T=${T} ...`);
  const results = [figure("forward", flops, forward), figure("forward+backward", 3 * flops, both)];
  x_TD.dispose();
  arena.dispose();
  return results;
}

function show(machine: Peaks & { cpu: string; kernels: string }, results: readonly MoeTiming[]): void {
  print(
    `${machine.cpu}, ${machine.kernels}: peak ${machine.fmaGflops.toFixed(0)} GFLOP/s, memory read ${machine.readGBs.toFixed(1)} GB/s\n`,
  );
  const rows = results.map((r) => [
    `D=${r.D} F=${r.F} E=${r.E} K=${r.K} T=${r.T}`,
    r.dtype,
    r.pass,
    r.medianMs.toFixed(1),
    r.minMs.toFixed(1),
    r.gflops.toFixed(0),
    `${(100 * r.shareOfPeak).toFixed(0)} %`,
  ]);
  print(table(["layer", "dtype", "pass", "median ms", "min ms", "GFLOP/s", "of peak"], rows));
}
