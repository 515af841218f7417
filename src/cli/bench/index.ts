import { Command } from "commander";
import { gemmBench } from "./gemm.ts";
import { generateBench } from "./generate.ts";
import { moeBench } from "./moe.ts";
import { trainBench } from "./train.ts";

export function benchCommand(): Command {
  const bench = new Command("bench").description("Measure speed.");
  for (const make of [moeBench, gemmBench, trainBench, generateBench]) bench.addCommand(make());
  return bench;
}
