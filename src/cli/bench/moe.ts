/** `conclave bench moe`. T tokens, D width, E experts, K picks a token, F expert hidden width. */
import type { Command } from "commander";
import { MoeLayer, parseRoutingSpec, SwigluExperts } from "../../moe/index.ts";
import { materialise } from "../../nn/index.ts";
import {
  context,
  type Device,
  mul,
  type Precision,
  Random,
  scope,
  sum,
  Tape,
  type Tensor,
  tensor,
  watch,
} from "../../tensor/index.ts";
import { openDevice } from "../options.ts";
import { bytes, print, printJson, remark, table } from "../output.ts";
import { type Machine, machineLine, measureMachine, peakGflops } from "./machine.ts";
import { finished, type Pass, type StepMemory, stepMemory, type Timing, timing } from "./measure.ts";

export interface MoeShape {
  readonly D: number;
  readonly F: number;
  readonly E: number;
  readonly K: number;
  readonly T: number;
}

type PassName = "forward" | "forward+backward";

interface MoeTiming extends MoeShape, Timing {
  readonly dtype: Precision;
  readonly threads: number;
  readonly pass: PassName;
}

const defaultShapes: readonly MoeShape[] = [
  { D: 512, F: 1024, E: 8, K: 2, T: 2048 },
  { D: 512, F: 256, E: 64, K: 8, T: 2048 },
];

interface MoeFlags {
  readonly shape?: readonly MoeShape[];
  readonly dtype: Precision;
  readonly runs: number;
  readonly json?: boolean;
}

/** Does what `conclave bench moe` was asked. */
export async function runMoe(flags: MoeFlags, command: Command): Promise<void> {
  const { device } = await openDevice(command);
  const machine = await measureMachine(device);
  const peak = peakGflops(machine, flags.dtype);
  const results: MoeTiming[] = [];
  for (const shape of flags.shape ?? defaultShapes) {
    const { D, F, E, K, T } = shape;
    remark(`timing D=${D} F=${F} E=${E} K=${K} T=${T} ...`);
    const workload = moeWorkload(device, shape, flags.dtype);
    for (const [pass, work] of Object.entries(workload.passes) as [PassName, Pass][]) {
      const figures = await timing(device, work, flags.runs, peak);
      results.push({ ...shape, dtype: flags.dtype, threads: machine.threads, pass, ...figures });
    }
    workload.dispose();
    device.trim();
  }
  if (flags.json) printJson({ machine, results });
  else show(machine, results);
  device.dispose();
}

/** A layer with its input, ready to run: what `bench moe` and bench/peers time. */
export interface MoeWorkload {
  readonly passes: Readonly<Record<PassName, Pass>>;
  memory(): StepMemory;
  dispose(): void;
}

export function moeWorkload(device: Device, shape: MoeShape, precision: Precision): MoeWorkload {
  const { D, F, E, K, T } = shape;
  const spec = parseRoutingSpec({ experts: E, order: "select-then-score", select: { by: "token", k: K } });
  const experts = new SwigluExperts({ count: E, width: D, hidden: F });
  const layer = new MoeLayer({ spec, width: D, experts });
  const arena = materialise(layer, device, 1);
  const random = new Random(1, "bench");
  const x_TD = watch(tensor(device, random.normals(T * D), [T, D]), (grad) => grad.dispose());
  const dy_TD = tensor(device, random.normals(T * D), [T, D]);
  const ctx = context({ precision });
  const loss = (): Tensor => sum(mul(layer.forward(x_TD, ctx).y, dy_TD));
  // Three products of 2*D*F a routed row forward, twice that backward.
  const flops = 6 * D * F * T * K;
  return {
    passes: {
      forward: { flops, body: finished(device, () => scope(() => void layer.forward(x_TD, ctx))) },
      "forward+backward": {
        flops: 3 * flops,
        body: finished(device, () =>
          scope(() => {
            const tape = new Tape();
            tape.backward(tape.run(loss));
            arena.clearGradients();
          }),
        ),
      },
    },
    memory: () => stepMemory(arena, loss),
    dispose() {
      for (const made of [x_TD, dy_TD, arena]) made.dispose();
    },
  };
}

function show(machine: Machine, results: readonly MoeTiming[]): void {
  const rows = results.map((r) => [
    `D=${r.D} F=${r.F} E=${r.E} K=${r.K} T=${r.T}`,
    r.dtype,
    r.pass,
    r.medianMs.toFixed(1),
    r.minMs.toFixed(1),
    r.gflops.toFixed(0),
    `${(100 * r.shareOfPeak).toFixed(0)} %`,
    bytes(r.peakBytes),
  ]);
  const head = ["layer", "dtype", "pass", "median ms", "min ms", "GFLOP/s", "of peak", "memory"];
  print(`${machineLine(machine)}\n\n${table(head, rows)}`);
}
