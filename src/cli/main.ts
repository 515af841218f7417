#!/usr/bin/env node
import nodeModule from "node:module";
import { Command, CommanderError } from "commander";
import { fileError } from "../formats/files.read.ts";
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

/** The verbs, in the order of the help. */
const verbs: Readonly<Record<string, () => Promise<() => Command>>> = {
  train: async () => (await import("./commands/train.ts")).trainCommand,
  generate: async () => (await import("./commands/generate.ts")).generateCommand,
  chat: async () => (await import("./commands/chat.ts")).chatCommand,
  pull: async () => (await import("./commands/pull.ts")).pullCommand,
  logits: async () => (await import("./commands/logits.ts")).logitsCommand,
  params: async () => (await import("./commands/params.ts")).paramsCommand,
  route: async () => (await import("./commands/route.ts")).routeCommand,
  inspect: async () => (await import("./commands/inspect.ts")).inspectCommand,
  bench: async () => (await import("./commands/bench.ts")).benchCommand,
  doctor: async () => (await import("./commands/doctor.ts")).doctorCommand,
};

// A verb that comes first is the only one that is needed, and the version needs none; help and a misspelt verb need all.
const [, , first = ""] = process.argv;
const called = Object.hasOwn(verbs, first)
  ? [first]
  : /^(-V|--version)$/.test(first)
    ? []
    : Object.keys(verbs);
for (const make of await Promise.all(called.map((name) => verbs[name]()))) program.addCommand(make());
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
