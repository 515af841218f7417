import { fail } from "../errors.ts";
import type { Op } from "./op.ts";
import { recordNode } from "./tape.ts";
import { empty, type Tensor } from "./tensor.ts";

/** Checks, allocates, runs and records `op`. All outputs are returned. */
export function applyAll<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): readonly Tensor[] {
  const { device } = inputs[0];
  for (const input of inputs) {
    if (input.device !== device) fail("state", `${op.name}: inputs are on different devices`);
  }
  const specs = op.shape(inputs, attrs);
  const outputs = specs.map((spec) =>
    "viewAt" in spec ? inputs[0].view(spec.shape, spec.viewAt) : empty(device, spec.shape, spec.dtype),
  );
  try {
    if (outputs.some((output) => output.size > 0)) op.forward(device.kernels.run, inputs, outputs, attrs);
  } catch (error) {
    for (const output of outputs) output.dispose();
    throw error;
  }
  for (const [i, output] of outputs.entries())
    if (output.dtype === "i32" && !("counted" in specs[i])) inheritRange(output, inputs);
  recordNode(op as Op<unknown>, inputs, outputs, attrs);
  return outputs;
}

/** {@link applyAll} for an operation of which only the result is of use. */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor {
  return applyAll(op, inputs, attrs)[0];
}

/** An operation from i32 to i32 moves values and makes no new ones, unless it says so. */
function inheritRange(output: Tensor, inputs: readonly Tensor[]): void {
  for (const input of inputs) if (input.dtype === "i32") output.widenHostRange(input.hostRange);
}
