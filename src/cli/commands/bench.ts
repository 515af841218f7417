import { Command } from "commander";
import { fail } from "../../errors.ts";
import { numbers, parsePrecision } from "../bench/arguments.ts";
import type { GemmShape } from "../bench/gemm.ts";
import type { MoeShape } from "../bench/moe.ts";
import { modelNames, type TrainModelName } from "../bench/train-models.ts";
import { modelArgument, whole } from "../options.ts";
import { lazily } from "./lazily.ts";

export function benchCommand(): Command {
  const bench = new Command("bench").description("Measure speed.");
  for (const make of [moeBench, gemmBench, trainBench, generateBench]) bench.addCommand(make());
  return bench;
}

function moeBench(): Command {
  return new Command("moe")
    .description("Time an MoE layer, forward alone and with backward.")
    .option(
      "--shape <D,F,E,K,T>",
      "width, expert width, experts, picks a token, tokens; may be given more than once",
      collectMoeShape,
    )
    .option("--dtype <name>", "bf16 or f32", parsePrecision, "bf16")
    .option("--runs <n>", "timed runs of each", whole("--runs", 1), 9)
    .option("--json", "print as JSON")
    .addHelpText("after", "\nExample:\n  conclave bench moe --shape 512,1024,8,2,2048 --dtype f32")
    .action(lazily(async () => (await import("../bench/moe.ts")).runMoe));
}

function collectMoeShape(text: string, before: readonly MoeShape[] = []): MoeShape[] {
  const [D, F, E, K, T] = numbers("--shape", ["D", "F", "E", "K", "T"])(text);
  if (K > E)
    fail("usage", `--shape ${text}: K (${K}) is above E (${E})`, "a token picks at most all experts");
  return [...before, { D, F, E, K, T }];
}

function gemmBench(): Command {
  return new Command("gemm")
    .description("Time a matrix product.")
    .option("--shape <m,n,k>", "rows, columns, inner size; may be given more than once", collectGemmShape)
    .option("--dtype <name>", "bf16 or f32", parsePrecision, "f32")
    .option("--runs <n>", "timed runs of each", whole("--runs", 1), 25)
    .option("--json", "print as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  conclave bench gemm --shape 1024,1024,1024 --kernels wasm --threads 1",
    )
    .action(lazily(async () => (await import("../bench/gemm.ts")).runGemm));
}

function collectGemmShape(text: string, before: readonly GemmShape[] = []): GemmShape[] {
  const [m, n, k] = numbers("--shape", ["m", "n", "k"])(text);
  return [...before, { m, n, k }];
}

function trainBench(): Command {
  return new Command("train")
    .description("Time a whole training step: forward, backward, clipping, AdamW.")
    .option("--model <name>", `${modelNames.join(" or ")}; may be given more than once`, collectModel)
    .option("--dtype <name>", "bf16 or f32", parsePrecision, "bf16")
    .option("--runs <n>", "timed steps of each", whole("--runs", 1), 7)
    .option("--batch <n>", "windows a step, in place of the model's own", whole("--batch", 1))
    .option("--profile", "also show where the time of one more step goes")
    .option("--json", "print as JSON")
    .addHelpText("after", "\nExample:\n  conclave bench train --model small --profile")
    .action(lazily(async () => (await import("../bench/train.ts")).runTrain));
}

function collectModel(text: string, before: readonly TrainModelName[] = []): TrainModelName[] {
  const name = modelNames.find((known) => known === text);
  return [
    ...before,
    name ?? fail("usage", `--model takes ${modelNames.join(" or ")}, not ${JSON.stringify(text)}`),
  ];
}

function generateBench(): Command {
  return new Command("generate")
    .description("Time reading a prompt and writing tokens.")
    .argument("<model>", modelArgument)
    .option("--prompt-tokens <n>", "tokens of each prompt, random ones", whole("--prompt-tokens", 1), 512)
    .option("--tokens <n>", "tokens to write", whole("--tokens", 2), 128)
    .option("--batch <n>", "sequences at once; may be given more than once (default: 1)", collectBatch)
    .option("--runs <n>", "timed runs of each; the best counts", whole("--runs", 1), 3)
    .option("--dtype <name>", "bf16 or f32 products", parsePrecision, "bf16")
    .option("--json", "print as JSON")
    .addHelpText(
      "after",
      `
A step reads each weight it needs once: all but the experts, the distinct experts that its tokens chose (counted in a run of their
own), a row of the embedding a token, and the keys and values so far. Those bytes at the measured rate of reading memory are the
bound of decoding that shareOfBandwidth is a share of.

Example:
  conclave bench generate model.gguf --prompt-tokens 512 --tokens 128 --batch 1 --batch 8`,
    )
    .action(lazily(async () => (await import("../bench/generate.ts")).runBench));
}

function collectBatch(text: string, before: readonly number[] = []): number[] {
  return [...before, whole("--batch", 1)(text)];
}
