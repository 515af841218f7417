#!/usr/bin/env node
import nodeModule from "node:module";
import { Command, CommanderError } from "commander";
import { fileError } from "../formats/files.read.ts";
import { benchCommand } from "./commands/bench.ts";
import { chatCommand } from "./commands/chat.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { generateCommand } from "./commands/generate.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { logitsCommand } from "./commands/logits.ts";
import { paramsCommand } from "./commands/params.ts";
import { pullCommand } from "./commands/pull.ts";
import { routeCommand } from "./commands/route.ts";
import { trainCommand } from "./commands/train.ts";
import { exitFor, reportError } from "./output.ts";
import { usageError } from "./usage.ts";
import { version } from "./version.ts";

const program = new Command("conclave")
  .description("Mixture of experts for TypeScript: train, run and look into MoE models.")
  .version(version)
  .option("--debug", "show stack traces")
  .option("--kernels <name>", "native, wasm or reference (default: the fastest that loads)")
  .option("--threads <n>", "threads to use (default: all)")
  .showSuggestionAfterError()
  .addHelpText(
    "after",
    "\nEvery verb takes --help and --json. Start with: conclave train --preset tiny --out runs/first",
  );

for (const make of [
  trainCommand,
  generateCommand,
  chatCommand,
  pullCommand,
  logitsCommand,
  paramsCommand,
  routeCommand,
  inspectCommand,
  benchCommand,
  doctorCommand,
]) {
  program.addCommand(make());
}
for (const command of [program, ...program.commands, ...program.commands.flatMap((c) => c.commands)]) {
  command
    .exitOverride((error) => {
      const asked = error.exitCode === 0 || error.code === "commander.help";
      throw asked ? error : usageError(error, command);
    })
    .configureOutput({ outputError: () => {} })
    .configureHelp({ showGlobalOptions: true });
}

// A reader that stops early (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  reportError(fileError("writing", "the output", error), program.opts().debug === true);
  process.exit(1);
});

// Remarks and progress that nobody reads: the work goes on.
process.stderr.on("error", () => {});

// From Node 22 on the code of a verb is compiled once and kept, which makes `generate` start 50 ms sooner. No cache is no failure.
(nodeModule as { enableCompileCache?: () => unknown }).enableCompileCache?.();

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError && error.exitCode === 0) process.exitCode = 0;
  else {
    reportError(error, program.opts().debug === true);
    process.exitCode = exitFor(error);
  }
}
