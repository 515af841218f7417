/** `conclave bench train`: a whole training step. T = B*S tokens, D width, V vocabulary. */
import type { Command } from "commander";
import { parameterCounts } from "../../models/index.ts";
import {
  context,
  crossEntropy,
  Device,
  mean,
  type Precision,
  Random,
  type Tensor,
  tensor,
} from "../../tensor/index.ts";
import {
  type Json,
  Learner,
  modelOf,
  resolveConfig,
  type TrainConfig,
  trainingBatch,
} from "../../train/index.ts";
import { openDevice } from "../options.ts";
import { bytes, grouped, print, printJson, remark, short, table } from "../output.ts";
import { type Machine, machineLine, measureMachine, peakGflops } from "./machine.ts";
import { finished, type Pass, type StepMemory, stepMemory, type Timing, timing } from "./measure.ts";
import { type Profile, ProfiledKernels } from "./profile.ts";
import { modelNames, overridesOf, type TrainModelName } from "./train-models.ts";

interface TrainTiming extends Timing {
  readonly model: TrainModelName;
  readonly dtype: Precision;
  readonly threads: number;
  readonly parameters: number;
  readonly activeParameters: number;
  readonly batch: number;
  readonly sequence: number;
  readonly tokensPerSecond: number;
  /** Weights, gradients and AdamW's two means. */
  readonly stateBytes: number;
  readonly profile?: Profile;
}

interface TrainFlags {
  readonly model?: readonly TrainModelName[];
  readonly dtype: Precision;
  readonly runs: number;
  readonly batch?: number;
  readonly profile?: boolean;
  readonly json?: boolean;
}

/** Does what `conclave bench train` was asked. */
export async function runTrain(flags: TrainFlags, command: Command): Promise<void> {
  const { device } = await openDevice(command);
  const machine = await measureMachine(device);
  const peak = peakGflops(machine, flags.dtype);
  const results: TrainTiming[] = [];
  for (const model of flags.model ?? modelNames) {
    const config = trainBenchConfig(model, flags.dtype, flags.batch);
    remark(
      `timing ${model}: ${machine.kernels}, ${config.data.batch} x ${config.data.sequence} tokens a step ...`,
    );
    const workload = trainWorkload(device, config);
    const figures = await timing(device, workload.pass, flags.runs, peak);
    workload.dispose();
    device.trim();
    const profile = flags.profile ? await profileOf(device, config) : undefined;
    results.push({
      model,
      ...describe(workload, config, machine),
      ...figures,
      ...rate(config, figures),
      profile,
    });
  }
  if (flags.json) printJson({ machine, results });
  else show(machine, results);
  device.dispose();
}

/** The configuration that `bench train` trains with; `batch` in place of its own. */
export function trainBenchConfig(model: TrainModelName, precision: Precision, batch?: number): TrainConfig {
  const overrides = overridesOf[model];
  const data = { ...(overrides.data as Json | undefined), ...(batch === undefined ? {} : { batch }) };
  return resolveConfig({ preset: "small", overrides: { ...overrides, data, precision, steps: 1e6 } });
}

/** A model in training on random tokens: what `bench train` and bench/peers time. */
export interface TrainWorkload {
  /** One step, the next each time. */
  readonly pass: Pass;
  readonly parameters: number;
  readonly activeParameters: number;
  readonly stateBytes: number;
  /** Of a pass without the routers' losses. */
  memory(): StepMemory;
  dispose(): void;
}

export function trainWorkload(device: Device, config: TrainConfig): TrainWorkload {
  const { vocabSize, batch, sequence } = config.data;
  const model = modelOf(config, { vocabSize, bosId: 0, eosId: 0 }, "moe");
  const random = new Random(1, "bench");
  const ids = Int32Array.from({ length: 64 * sequence }, () => random.integer(vocabSize));
  const stream = { domain: "random", ids };
  const corpus = { train: [stream], heldOut: [stream], tokenBytes: new Int32Array(vocabSize).fill(1) };
  const before = device.memory.live;
  const learner = new Learner(model, config, corpus, device);
  const { total, active, activeWithoutEmbedding } = parameterCounts(model);
  const { layers, heads, headDim } = model.config;
  // A product with every active weight and, where a token looks at half the window, two with its keys and values; twice that backward.
  const perToken = 6 * activeWithoutEmbedding + 6 * layers * heads * headDim * sequence;
  let step = 0;
  const loss = (): Tensor => {
    const { inputs, targets } = trainingBatch(corpus.train, config.data, config.seed, 1);
    const { logits_TV } = model.forward(
      tensor(device, inputs, [batch, sequence]),
      context({ precision: config.precision }),
    );
    return mean(crossEntropy(logits_TV, tensor(device, targets)));
  };
  return {
    pass: { flops: perToken * batch * sequence, body: finished(device, () => learner.step(++step)) },
    parameters: total,
    activeParameters: active,
    stateBytes: device.memory.live - before,
    memory: () => stepMemory(learner.optimizer.arena, loss),
    dispose: () => learner.dispose(),
  };
}

async function profileOf(device: Device, config: TrainConfig): Promise<Profile> {
  const profiled = new ProfiledKernels(device.kernels);
  const own = new Device(profiled.kernels);
  const workload = trainWorkload(own, config);
  await workload.pass.body(); // fills the pool
  const profile = await profiled.profile(workload.pass.body);
  workload.dispose();
  own.trim();
  return profile;
}

function describe(
  { parameters, activeParameters, stateBytes }: TrainWorkload,
  { data, precision }: TrainConfig,
  { threads }: Machine,
): Omit<TrainTiming, keyof Timing | "model" | "tokensPerSecond" | "profile"> {
  const { batch, sequence } = data;
  return { dtype: precision, threads, parameters, activeParameters, batch, sequence, stateBytes };
}

function rate({ data }: TrainConfig, { medianMs }: Timing): { readonly tokensPerSecond: number } {
  return { tokensPerSecond: (1000 * data.batch * data.sequence) / medianMs };
}

function show(machine: Machine, results: readonly TrainTiming[]): void {
  const rows = results.map((r) => [
    `${r.model} (${short(r.parameters)}, ${short(r.activeParameters)} active)`,
    r.dtype,
    `${r.batch} x ${r.sequence}`,
    r.medianMs.toFixed(0),
    r.minMs.toFixed(0),
    grouped(r.tokensPerSecond),
    r.gflops.toFixed(0),
    `${(100 * r.shareOfPeak).toFixed(0)} %`,
    bytes(r.peakBytes),
    bytes(r.stateBytes),
  ]);
  const head = [
    "model",
    "dtype",
    "tokens",
    "median ms",
    "min ms",
    "tokens/s",
    "GFLOP/s",
    "of peak",
    "step memory",
    "state",
  ];
  print(`${machineLine(machine)}\n\n${table(head, rows)}`);
  for (const { model, profile } of results) if (profile) print(`\n${profileTable(model, profile)}`);
}

function profileTable(model: TrainModelName, { ms, parts, kernels }: Profile): string {
  const row = ({ name, calls, ms, share }: Profile["parts"][number]): string[] => [
    name,
    calls === 0 ? "" : String(calls),
    ms.toFixed(1),
    `${(100 * share).toFixed(1)} %`,
  ];
  const rows = [...parts.map(row), [""], ...kernels.map(row)];
  return table([`${model}: one step of ${ms.toFixed(0)} ms`, "calls", "ms", "share"], rows);
}
