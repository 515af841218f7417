import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { abi, type KernelName } from "../../src/kernels/abi.ts";
import type { Kernels } from "../../src/kernels/kernels.ts";
import { createReferenceKernels } from "../../src/kernels/reference/index.ts";
import { type Implementation, listImplementations } from "../../src/kernels/select.ts";
import { casesOf } from "./cases/index.ts";
import { type Case, mismatches, type Outcome, runCase } from "./harness.ts";

// Every kernel of every compiled implementation against the reference, and its bits against its own with another
// number of threads and from another run.

const kernelNames = Object.keys(abi) as KernelName[];
const reference = createReferenceKernels();
const outcomes = new Map<Case, Promise<Outcome>>();

/** Computed once a case, however many implementations are compared with it. */
function referenceOutcome(one: Case): Promise<Outcome> {
  const known = outcomes.get(one) ?? runCase(reference, one);
  outcomes.set(one, known);
  return known;
}

test.each(kernelNames)("%s has cases", (kernel) => {
  expect(casesOf(kernel).length).toBeGreaterThan(0);
});

/** Implementations that differ only in their threads, under the name they share. */
const families = new Map<string, Implementation[]>();
for (const one of await listImplementations()) {
  const name = one.label.split(",")[0]!;
  families.set(name, [...(families.get(name) ?? []), one]);
}

describe.each([...families])("%s", (_, members) => {
  const reason = members.find(({ skip }) => skip !== null)?.skip;
  if (reason) test(`skipped: ${reason}`, (context) => context.skip(reason));
  else conform(members);
});

function conform(members: readonly Implementation[]): void {
  let every: Kernels[] = [];
  beforeAll(async () => {
    every = await Promise.all(members.map((member) => member.make()));
  });
  afterAll(() => {
    for (const kernels of every) kernels.dispose();
  });

  test.each(kernelNames)("%s", async (kernel) => {
    const wrong: string[] = [];
    for (const one of casesOf(kernel)) {
      const first = await runCase(every[0]!, one);
      wrong.push(...mismatches(one, first.values, (await referenceOutcome(one)).values));
      for (const kernels of every) {
        if (!sameBits(await runCase(kernels, one), first))
          wrong.push(`${kernel}, ${one.name}: other bits with ${kernels.threads} threads`);
      }
    }
    expect(wrong).toEqual([]);
  });
}

/** Any NaN is like any other: WebAssembly leaves its sign and payload to the engine. */
function sameBits(a: Outcome, b: Outcome): boolean {
  return Object.keys(a.bytes).every(
    (name) =>
      Buffer.compare(a.bytes[name]!, b.bytes[name]!) === 0 ||
      a.values[name]!.every((value, i) => Object.is(value, b.values[name]![i])),
  );
}
