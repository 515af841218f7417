import { Command } from "commander";
import { generate } from "../infer/index.ts";
import { context } from "../tensor/index.ts";
import { labelFor, modelArgument, openModel, precisionOf, promptIds, resolveModel } from "./model.ts";
import { openDevice } from "./options.ts";
import { grouped, printJson, remark } from "./output.ts";
import { addSamplingFlags, type SamplingFlags, samplingOf } from "./sampling-flags.ts";

interface GenerateFlags extends SamplingFlags {
  readonly ids?: string;
  readonly label?: string;
  readonly precision: string;
  readonly json?: boolean;
}

export function generateCommand(): Command {
  const command = new Command("generate")
    .description("Continue a prompt.")
    .argument("<model>", modelArgument)
    .argument("[prompt]", "text to continue")
    .option("--ids <list>", "token ids to continue instead of a text: 1,2,3");
  return addSamplingFlags(command, { maxTokens: 128 })
    .option("--label <name>", "what the tokens are, for a model that routes by label")
    .option("--precision <name>", "bf16 or f32 matrix products", "f32")
    .option("--json", 'print {"ids", "text", "timings"}')
    .addHelpText(
      "after",
      '\nExample:\n  conclave generate runs/small-1 "Call me" --max-tokens 64 --temperature 0.7',
    )
    .action(runGenerate);
}

async function runGenerate(
  argument: string,
  prompt: string | undefined,
  flags: GenerateFlags,
  command: Command,
): Promise<void> {
  const { json } = flags;
  const ctx = context({ precision: precisionOf(flags.precision) });
  const path = await resolveModel(argument);
  const { device } = await openDevice(command);
  const { ids, tokenizer } = await promptIds(path, prompt, flags.ids);
  const model = await openModel(path, device);
  const label = labelFor(model, flags.label);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());

  const stream = tokenizer?.stream(ids);
  const written: number[] = [];
  let text = "";
  let full = false;
  const write = (piece: string) => {
    text += piece;
    if (!json) process.stdout.write(piece);
  };
  if (!json && prompt !== undefined) process.stdout.write(prompt);
  const began = performance.now();
  let first = began;
  for await (const { id, finish, index } of generate(model, ids, {
    ...samplingOf(flags),
    labels: label === undefined ? undefined : ids.map(() => label),
    ctx,
    signal: stop.signal,
  })) {
    if (index === 0) first = performance.now();
    written.push(id);
    full = finish === "positions";
    if (stream && finish !== "end") write(stream.push(id));
    else if (!stream && !json) process.stdout.write(`${index ? "," : ""}${id}`);
  }
  if (stream) write(stream.end());
  const ended = performance.now();
  const timings = {
    promptTokens: ids.length,
    promptMs: first - began,
    tokens: written.length,
    tokensMs: ended - first,
  };
  if (json) printJson({ ids: written, text, timings });
  else {
    process.stdout.write("\n");
    const rate = written.length > 1 ? ((written.length - 1) / timings.tokensMs) * 1000 : 0;
    remark(
      `${written.length} tokens, ${rate.toFixed(0)} tokens/s after the first; prompt of ${ids.length} in ${timings.promptMs.toFixed(0)} ms`,
    );
  }
  if (full) remark(`ended: the model has ${grouped(model.config.maxPositions)} positions`);
  if (stop.signal.aborted) process.exitCode = 130;
  device.dispose();
}
