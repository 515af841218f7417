import { fail } from "../errors.ts";
import type { DifferentiableOp, InputGrads, Op } from "./op.ts";
import { adopt, keep, scope } from "./scope.ts";
import { empty, full, show, type Tensor } from "./tensor.ts";

/** An operation on the tape. */
interface Node {
  readonly op: DifferentiableOp<unknown>;
  readonly attrs: unknown;
  /** As the operation got and made them: what gradients are found by. Their memory may be gone. */
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly saved: Saved;
}

/** Handles of the tape's own on what an operation's gradient reads, which the caller's scopes do not free; the rest has a shape only. */
interface Saved {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

let current: Tape | null = null;

/** Whether an operation on `inputs` would be recorded: only then must it keep anything for its gradient. */
export function recordsOf(inputs: readonly Tensor[]): boolean {
  return current !== null && inputs.some((input) => input.tracked);
}

/** Called for every operation: records it if a gradient may flow back through it. */
export function recordNode(
  op: Op<unknown>,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  attrs: unknown,
): void {
  if (op.vjp === "none" || outputs[0].dtype === "i32" || !recordsOf(inputs) || !current) return;
  outputs[0].tracked = true;
  const saved = { inputs: save(inputs, op.reads.inputs), outputs: save(outputs, op.reads.outputs) };
  current.nodes.push({ op, attrs, inputs, output: outputs[0], saved });
}

function save(tensors: readonly Tensor[], read: "all" | readonly number[]): readonly Tensor[] {
  return tensors.map((tensor, i) => {
    const handle = keep(tensor.view(tensor.shape));
    if (read !== "all" && !read.includes(i)) handle.dispose();
    return handle;
  });
}

function handlesOf({ inputs, outputs }: Saved): readonly Tensor[] {
  return [...inputs, ...outputs];
}

function forget(saved: Saved): void {
  for (const handle of handlesOf(saved)) handle.dispose();
}

/**
 * Records operations and runs them backwards (reverse-mode differentiation).
 *
 *     const tape = new Tape();
 *     const loss = tape.run(() => model.loss(batch));
 *     tape.backward(loss);            // adds into the gradient of every parameter
 *
 * The tape itself holds what gradients read, and frees it as soon as they have: memory falls as the backward pass goes on.
 */
export class Tape {
  /** @internal */
  nodes: Node[] = [];

  /** Runs `body` with this tape on, in a {@link scope}: of what it makes, its result and what the gradient needs stay. */
  run<T>(body: () => T): T {
    const before = this.nodes.length;
    try {
      const result = scope(() => withTape(this, body));
      // Until here the handles were in no scope. Those that no backward pass comes to end with the caller's.
      for (const { saved } of this.nodes.slice(before)) for (const handle of handlesOf(saved)) adopt(handle);
      return result;
    } catch (error) {
      for (const { saved } of this.nodes.splice(before)) forget(saved);
      throw error;
    }
  }

  /** Propagates from the one-element `loss` to every watched tensor (see {@link watch}), once: the tape is empty afterwards. */
  backward(loss: Tensor): void {
    if (loss.size !== 1) fail("shape", `backward: the loss has shape ${show(loss.shape)}, not one element`);
    const { nodes } = this;
    if (!nodes.some((node) => node.output === loss)) {
      fail(
        "state",
        "backward: the loss was not computed from a watched tensor on this tape since its last backward pass",
      );
    }
    this.nodes = [];
    const grads = new Map<Tensor, Tensor>([[loss, full(loss.device, loss.shape, 1)]]);
    try {
      withTape(null, () => {
        for (let node = nodes.at(-1); node; node = nodes.at(-1)) {
          backwardNode(node, grads);
          forget(node.saved);
          nodes.pop();
        }
      });
    } finally {
      for (const { saved } of nodes) forget(saved);
      for (const grad of grads.values()) grad.dispose(); // of tracked tensors that nobody watches
    }
  }
}

/** Runs `body` with no tape on: what it computes is constant to the gradient. */
export function withoutTape<T>(body: () => T): T {
  return withTape(null, body);
}

function withTape<T>(tape: Tape | null, body: () => T): T {
  const outer = current;
  current = tape;
  try {
    return body();
  } finally {
    current = outer;
  }
}

/** Where the gradient of a watched tensor goes: the sum of what it is given. */
export interface GradientSink {
  /**
   * Where a contribution may be written by the operation that makes it (f32, of the tensor's shape, contents undefined), or
   * null. It is then given to `take`.
   */
  place(): Tensor | null;
  /** Gets a contribution and disposes of it. Unless it is `place`'s, it may share memory with others and is not written to. */
  take(contribution: Tensor): void;
}

const sinks = new WeakMap<Tensor, GradientSink>();

/** Makes `tensor` tracked: a backward pass gives each contribution to its gradient (f32, of its size) to `sink`. */
export function watch(tensor: Tensor, sink: GradientSink | GradientSink["take"]): Tensor {
  if (tensor.dtype !== "f32")
    fail("dtype", `watch: gradients are for f32 tensors, this one is ${tensor.dtype}`);
  tensor.tracked = true;
  sinks.set(tensor, typeof sink === "function" ? { place: () => null, take: sink } : sink);
  return tensor;
}

/** The scalar that `body` returns, and its gradient with respect to `inputs`; for tests and small uses. */
export function gradients(inputs: readonly Tensor[], body: () => Tensor): { value: Tensor; grads: Tensor[] } {
  const before = inputs.map((input) => ({ tracked: input.tracked, sink: sinks.get(input) }));
  try {
    return scope(() => {
      const grads = inputs.map((input) => full(input.device, input.shape, 0));
      inputs.forEach((input, i) => {
        watch(input, (contribution) => addInto(grads[i], contribution));
      });
      const tape = new Tape();
      const value = tape.run(body);
      tape.backward(value);
      return { value, grads };
    });
  } finally {
    inputs.forEach((input, i) => {
      const { tracked, sink } = before[i];
      input.tracked = tracked;
      if (sink) sinks.set(input, sink);
      else sinks.delete(input);
    });
  }
}

/** total += contribution, in place; frees the contribution. */
export function addInto(total: Tensor, contribution: Tensor): void {
  addTo(total, total, contribution);
  contribution.dispose();
}

function addTo(out: Tensor, a: Tensor, b: Tensor): void {
  out.device.kernels.run.binary({
    op: "add",
    a: a.buf,
    b: b.buf,
    out: out.buf,
    dims: [1, 1, 1, out.size],
    aStrides: [0, 0, 0, 1],
    bStrides: [0, 0, 0, 1],
  });
}

/** Every reader of the node's result has been passed, so `grads` holds its whole gradient, which is used up here. */
function backwardNode(node: Node, grads: Map<Tensor, Tensor>): void {
  const grad = grads.get(node.output);
  if (!grad) return;
  const inputGrads = ownHandles(
    scope(() => runVjp(node, grad)),
    grad,
  );
  node.inputs.forEach((input, i) => {
    const inputGrad = inputGrads[i];
    if (inputGrad) accumulate(node.op.name, grads, input, inputGrad);
  });
  grads.delete(node.output);
  grad.dispose();
}

function runVjp({ op, inputs, saved, attrs }: Node, grad: Tensor): InputGrads {
  const wanted = inputs.map((input) => input.tracked);
  const place = (i: number): Tensor => {
    const { device, shape } = inputs[i];
    return (wanted[i] ? sinks.get(inputs[i])?.place() : null) ?? empty(device, shape);
  };
  const { inputs: held, outputs } = saved; // no spread: its objects have no shape of their own, and are several times as slow
  const { run } = grad.device.kernels;
  return op
    .vjp({ inputs: held, outputs, grad, wanted, attrs, run, place })
    .map((inputGrad, i) => (wanted[i] ? inputGrad : null));
}

/** A vjp may hand on the tensor it got, or one tensor to two inputs: each input gets a handle of its own to free. */
function ownHandles(inputGrads: InputGrads, received: Tensor): InputGrads {
  const held = new Set<Tensor>([received]);
  return inputGrads.map((grad) => {
    if (!grad) return null;
    if (held.has(grad)) return grad.view(grad.shape);
    held.add(grad);
    return grad;
  });
}

function accumulate(op: string, grads: Map<Tensor, Tensor>, input: Tensor, grad: Tensor): void {
  if (grad.size !== input.size || grad.dtype !== "f32") {
    fail(
      "shape",
      `gradient of ${op}: ${grad.dtype} ${show(grad.shape)} for an input of ${show(input.shape)}`,
    );
  }
  const sink = sinks.get(input);
  const sum = grads.get(input);
  if (sink) sink.take(grad);
  else if (!sum) grads.set(input, grad);
  else {
    // Memory may be shared between gradients, so they are never added to in place.
    const total = empty(input.device, input.shape);
    addTo(total, sum, grad);
    sum.dispose();
    grad.dispose();
    grads.set(input, total);
  }
}
