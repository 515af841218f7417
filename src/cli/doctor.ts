import { cpus, freemem, totalmem } from "node:os";
import type { Command } from "commander";
import { openDevice } from "./options.ts";
import { bytes, print, printJson } from "./output.ts";
import { version } from "./version.ts";

/** Does what `conclave doctor` was asked. */
export async function runDoctor(options: { json?: boolean }, command: Command): Promise<void> {
  const { device, report } = await openDevice(command);
  const cpu = cpus();
  const found = {
    conclave: version,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: { model: cpu[0]?.model ?? "unknown", count: cpu.length },
    memory: { total: totalmem(), free: freemem() },
    kernels: report,
  };
  if (options.json) printJson(found);
  else show(found);
  device.dispose();
}

interface Findings {
  readonly conclave: string;
  readonly node: string;
  readonly platform: string;
  readonly cpu: { readonly model: string; readonly count: number };
  readonly memory: { readonly total: number; readonly free: number };
  readonly kernels: Awaited<ReturnType<typeof openDevice>>["report"];
}

function show(found: Findings): void {
  const { kernels } = found;
  print(`conclave  ${found.conclave}, node ${found.node}, ${found.platform}`);
  print(`cpu       ${found.cpu.model}, ${found.cpu.count} cores`);
  print(`memory    ${bytes(found.memory.total)}, ${bytes(found.memory.free)} free`);
  print(`kernels   ${kernels.kernels} ${kernels.isa}, ${kernels.threads} threads`);
  for (const { kernels: name, state, reason } of kernels.attempts)
    print(`          ${name}: ${state} (${reason})`);
}
