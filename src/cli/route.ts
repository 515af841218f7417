import type { Command } from "commander";
import { readJson } from "../formats/files.ts";
import { parseRoutingSpec, simulateRoute } from "../moe/index.ts";
import { openDevice } from "./options.ts";
import { print, printJson, table } from "./output.ts";

interface RouteFlags {
  readonly spec: string;
  readonly logits: string;
  readonly training: boolean;
  readonly json?: boolean;
}

/** Does what `conclave route` was asked. */
export async function runRoute(options: RouteFlags, command: Command): Promise<void> {
  const spec = parseRoutingSpec(await readJson(options.spec));
  const input = withTraining(await readJson(options.logits), options.training);
  // Unless asked otherwise the reference kernels: a simulator should be the definition, and its inputs are small.
  const { device } = await openDevice(command, "reference");
  const result = await simulateRoute(device, spec, input);
  if (options.json) printJson(result);
  else show(result);
  device.dispose();
}

/** The flag stands over the file. */
function withTraining(input: unknown, training: boolean): unknown {
  if (training || typeof input !== "object" || input === null || Array.isArray(input)) return input;
  return { ...input, training };
}

function show(result: Awaited<ReturnType<typeof simulateRoute>>): void {
  const round = (values: readonly number[]) => values.map((v) => v.toFixed(4)).join(" ");
  if ("experts" in result) {
    const rows = result.experts.map((ids, t) => [String(t), ids.join(" "), round(result.weights[t])]);
    print(table(["token", "experts", "weights"], rows));
  } else if ("tokens" in result) {
    const rows = result.tokens.map((ids, e) => [String(e), ids.join(" "), round(result.weights[e])]);
    print(table(["expert", "tokens", "weights"], rows));
  } else {
    const rows = result.dispatch.map((row, t) => [String(t), round(row), round(result.combine[t])]);
    print(table(["token", "dispatch", "combine"], rows));
  }
  if ("counts" in result) {
    const { counts, kept, capacity, dropped } = result;
    print(`\nplaces by expert: ${counts.join(" ")}`);
    if (capacity !== null) print(`kept, at most ${capacity} each: ${kept.join(" ")} (${dropped} dropped)`);
  }
  const { losses, metrics } = result;
  for (const [title, values] of [
    ["losses", losses],
    ["metrics", metrics],
  ] as const) {
    const parts = Object.entries(values).map(
      ([name, v]) => `${name} ${typeof v === "number" ? v.toFixed(4) : JSON.stringify(v)}`,
    );
    print(`\n${title}: ${parts.join(", ")}`);
  }
}
