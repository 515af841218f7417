import type { Command } from "commander";
import { fail } from "../errors.ts";
import type { KernelReport } from "../kernels/index.ts";
import type { Device } from "../tensor/index.ts";
import { isSeed, type Seed } from "../tensor/random.ts";
import { remark } from "./output.ts";

/** What the verbs say their model argument is. */
export const modelArgument = "model folder, .gguf file, or ORG/NAME that was pulled";

/** Tokens that `inspect` reads a pass unless asked otherwise. */
export const defaultWindow = 512;

/** Parses an option's whole number; `least` is the smallest allowed. */
export function whole(name: string, least: number): (text: string) => number {
  return (text) => {
    const n = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(n) || n < least) {
      fail("usage", `${name} takes a whole number of ${least} or more, not ${JSON.stringify(text)}`);
    }
    return n;
  };
}

/** Parses a seed. */
export function seedOf(name: string): (text: string) => Seed {
  return (text) => {
    const digits = text.trim();
    const n = Number(digits);
    const seed = digits !== "" && Number.isSafeInteger(n) ? n : digits;
    return isSeed(seed)
      ? seed
      : fail("usage", `${name} takes a whole number from 0 to 2^64 - 1, not ${JSON.stringify(text)}`);
  };
}

/** Parses an option's number between `low` and `high`. */
export function between(name: string, low: number, high: number): (text: string) => number {
  return (text) => {
    const n = Number(text);
    if (text.trim() === "" || !(n >= low && n <= high)) {
      fail("usage", `${name} takes a number from ${low} to ${high}, not ${JSON.stringify(text)}`);
    }
    return n;
  };
}

const byteUnits: Readonly<Record<string, number>> = {
  "": 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
};

/** Parses an option's size: 4GiB, 512MiB, 2.5GB or bytes. */
export function byteSize(name: string): (text: string) => number {
  return (text) => {
    const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([KMG]i?B)?$/.exec(text.trim()) ?? [];
    const bytes = Math.floor(Number(digits) * (byteUnits[unit] ?? Number.NaN));
    if (digits === "" || !Number.isSafeInteger(bytes) || bytes < 1)
      fail("usage", `${name} takes a size such as 4GiB or 512MiB, not ${JSON.stringify(text)}`);
    return bytes;
  };
}

/** Token ids as on the command line: 1,2,3. */
export function idList(text: string): number[] {
  return text.split(",").map(whole("--ids", 0));
}

const kernelNames = ["native", "wasm", "reference"] as const;
type KernelName = (typeof kernelNames)[number];

/** The device that the global options ask for; where they name no kernels, of `byDefault`, or the fastest. */
export async function openDevice(
  command: Command,
  byDefault?: KernelName,
): Promise<{ device: Device; report: KernelReport }> {
  const { kernels, threads } = command.optsWithGlobals<{ kernels?: string; threads?: string }>();
  const name = kernelNames.find((known) => known === kernels);
  if (kernels !== undefined && !name)
    fail("usage", `--kernels takes ${kernelNames.join(", ")}, not ${JSON.stringify(kernels)}`);
  const count = threads === undefined ? undefined : whole("--threads", 1)(threads);
  const [{ selectKernels }, { Device }] = await Promise.all([
    import("../kernels/index.ts"),
    import("../tensor/index.ts"),
  ]);
  const selected = await selectKernels({ kernels: name ?? byDefault, threads: count });
  if (command.name() !== "doctor") tellOfSlowKernels(selected.report);
  return { device: new Device(selected.kernels), report: selected.report };
}

/** Says that better kernels failed to load where nobody asked for those in use, and what that costs (docs/log.md). */
function tellOfSlowKernels({ kernels, attempts }: KernelReport): void {
  const failed = attempts.filter(({ state }) => state === "failed");
  if (kernels === "native" || failed.length === 0) return;
  const why = failed.map(({ kernels: other, reason }) => `${other}: ${reason}`).join("; ");
  const cost =
    kernels === "wasm"
      ? "on the WebAssembly kernels, about half as fast as native ones and with 4 GiB of memory at most"
      : "on the reference kernels, a hundred times slower than native ones";
  remark(`${cost} (${why}); fix, in a checkout with a C++ compiler: npm run build`);
}

/** "native avx2, 2 threads" */
export function kernelLine(device: Device): string {
  const { name, isa, threads } = device.kernels;
  return `${name}${isa === "none" ? "" : ` ${isa}`}, ${threads} thread${threads === 1 ? "" : "s"}`;
}
