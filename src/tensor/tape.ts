import { fail } from "../errors.ts";
import type { InputGrads, Op, VjpContext } from "./op.ts";
import { scope } from "./scope.ts";
import { empty, full, show, type Tensor } from "./tensor.ts";

interface Node {
  readonly op: Op<unknown>;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: unknown;
}

let current: Tape | null = null;

/** Called for every operation: records it if a gradient may flow back through it. */
export function recordNode(
  op: Op<unknown>,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  attrs: unknown,
): void {
  if (!current || op.vjp === "none" || outputs[0].dtype === "i32") return;
  if (!inputs.some((input) => input.tracked)) return;
  outputs[0].tracked = true;
  current.nodes.push({ op, inputs, outputs, attrs });
}

/**
 * Records operations and runs them backwards (reverse-mode differentiation).
 *
 *     const tape = new Tape();
 *     const loss = tape.run(() => model.loss(batch));
 *     tape.backward(loss);            // adds into the gradient of every parameter
 *
 * What was computed must stay alive until `backward`: do both in one scope.
 */
export class Tape {
  /** @internal */
  nodes: Node[] = [];

  /** Runs `body` with this tape on. */
  run<T>(body: () => T): T {
    return withTape(this, body);
  }

  /** Propagates from the one-element `loss` to every watched tensor (see {@link watch}), once: the tape is empty afterwards. */
  backward(loss: Tensor): void {
    if (loss.size !== 1) fail("shape", `backward: the loss has shape ${show(loss.shape)}, not one element`);
    const { nodes } = this;
    if (!nodes.some((node) => node.outputs[0] === loss)) {
      fail(
        "state",
        "backward: the loss was not computed from a watched tensor on this tape since its last backward pass",
      );
    }
    this.nodes = [];
    const grads = new Map<Tensor, Tensor>([[loss, full(loss.device, loss.shape, 1)]]);
    try {
      withTape(null, () => {
        for (let i = nodes.length - 1; i >= 0; i--) backwardNode(nodes[i], grads);
      });
    } finally {
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

type Sink = (contribution: Tensor) => void;
const sinks = new WeakMap<Tensor, Sink>();

/**
 * Makes `tensor` tracked. In a backward pass `sink` gets each contribution to its gradient (f32, of the tensor's size); the
 * gradient is their sum. The sink disposes of the contribution, and does not write to it: it may share memory with others.
 */
export function watch(tensor: Tensor, sink: Sink): Tensor {
  if (tensor.dtype !== "f32")
    fail("dtype", `watch: gradients are for f32 tensors, this one is ${tensor.dtype}`);
  tensor.tracked = true;
  sinks.set(tensor, sink);
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
  const grad = grads.get(node.outputs[0]);
  if (!grad) return;
  const inputGrads = ownHandles(
    scope(() => runVjp(node, grad)),
    grad,
  );
  node.inputs.forEach((input, i) => {
    const inputGrad = inputGrads[i];
    if (inputGrad) accumulate(node.op.name, grads, input, inputGrad);
  });
  grads.delete(node.outputs[0]);
  grad.dispose();
}

function runVjp(node: Node, grad: Tensor): InputGrads {
  const { op, inputs, outputs, attrs } = node;
  if (op.vjp === "none") return [];
  const wanted = inputs.map((input) => input.tracked);
  const context: VjpContext<unknown> = { inputs, outputs, grad, wanted, attrs, run: grad.device.kernels.run };
  return op.vjp(context).map((inputGrad, i) => (wanted[i] ? inputGrad : null));
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
  if (sink) sink(grad);
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
