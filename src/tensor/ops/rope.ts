// T tokens, H heads.

import { apply } from "../apply.ts";
import { type Device, sizeOf } from "../device.ts";
import { check, checkDtype, checkIds, checkShape, f32, type Op, type VjpContext } from "../op.ts";
import { scope } from "../scope.ts";
import { empty, show, type Tensor, tensor } from "../tensor.ts";
import { expand, reshape } from "./shape.ts";

/** Cosines and sines of the angles by which pairs turn: each [positions, rotary / 2]. */
export interface RopeTable {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/** Radians a position by which each of `rotary / 2` pairs turns (Su et al. 2021, section 3.2.2): theta^(-2i / rotary) for pair i. */
export function ropeFrequencies(rotary: number, theta: number): Float64Array {
  check(
    Number.isInteger(rotary) && rotary > 0 && rotary % 2 === 0,
    "ropeFrequencies",
    () => `rotary is ${rotary}, not an even number above 0`,
  );
  check(theta > 0, "ropeFrequencies", () => `theta is ${theta}`);
  const half = rotary / 2;
  return Float64Array.from({ length: half }, (_, i) => theta ** (-i / half));
}

/**
 * `amplitude` times the cosines and sines of position * frequency, for the positions below `positions`. Frequencies come from
 * {@link ropeFrequencies}, or are those changed for longer texts.
 */
export function ropeTable(
  device: Device,
  positions: number,
  frequencies: Float64Array,
  amplitude = 1,
): RopeTable {
  check(Number.isInteger(positions) && positions > 0, "ropeTable", () => `positions is ${positions}`);
  check(frequencies.length > 0, "ropeTable", () => "no frequencies");
  const half = frequencies.length;
  const angles = Float64Array.from(
    { length: positions * half },
    (_, i) => Math.floor(i / half) * frequencies[i % half],
  );
  return {
    cos: tensor(
      device,
      Float32Array.from(angles, (angle) => amplitude * Math.cos(angle)),
      [positions, half],
    ),
    sin: tensor(
      device,
      Float32Array.from(angles, (angle) => amplitude * Math.sin(angle)),
      [positions, half],
    ),
  };
}

interface RopeAttrs {
  readonly interleaved: boolean;
}

type RopeContext = Pick<VjpContext<RopeAttrs>, "run" | "inputs" | "attrs">;

function turn({ run, inputs, attrs }: RopeContext, from: Tensor, to: Tensor, inverse: boolean): void {
  const [{ shape }, cos, sin, position] = inputs;
  const [heads, headDim] = shape.slice(-2);
  const leading = shape.slice(0, -2);
  const tokens = sizeOf(leading);
  const places = { x: from.buf, cos: cos.buf, sin: sin.buf, out: to.buf };
  const sizes = { tokens, heads, headDim, rotary: 2 * cos.shape[1], interleaved: attrs.interleaved, inverse };
  if (position.size === tokens) run.rope({ ...places, position: position.buf, ...sizes });
  else
    scope(() => {
      const each = expand(reshape(position, leading.slice(-1)), leading);
      run.rope({ ...places, position: each.buf, ...sizes });
    });
}

const ropeOp: Op<RopeAttrs> = {
  name: "rope",
  shape([x, cos, sin, position]) {
    checkDtype("rope", "x", x, ["f32"]);
    check(x.rank >= 3, "rope", () => `x ${show(x.shape)} is not [..., tokens, heads, headDim]`);
    checkDtype("rope", "cos", cos, ["f32"]);
    checkDtype("rope", "sin", sin, ["f32"]);
    check(cos.rank === 2, "rope", () => `the table ${show(cos.shape)} is not [positions, rotary / 2]`);
    checkShape("rope", "sin", sin, cos.shape);
    const [positions, half] = cos.shape;
    const headDim = x.shape[x.rank - 1];
    check(
      2 * half <= headDim,
      "rope",
      () => `the table turns ${2 * half} of a head of ${headDim} in ${show(x.shape)}`,
    );
    checkIds("rope", "position", position, positions, 0);
    const leading = x.shape.slice(0, -2);
    const counts = [sizeOf(leading.slice(-1)), sizeOf(leading)];
    check(
      counts.includes(position.size),
      "rope",
      () => `position ${show(position.shape)} for x ${show(x.shape)}: it takes ${counts.join(" or ")}`,
    );
    return [f32(x.shape)];
  },
  forward: (run, inputs, [out], attrs) => turn({ run, inputs, attrs }, inputs[0], out, false),
  reads: { inputs: [1, 2, 3], outputs: [] },
  vjp(context) {
    const dx = empty(context.grad.device, context.grad.shape);
    turn(context, context.grad, dx, true);
    return [dx, null, null, null];
  },
};

export interface RopeOptions {
  /** Pairs are (2i, 2i + 1), as in the paper; else (i, i + rotary / 2), as in the Llama family. */
  readonly interleaved?: boolean;
}

/**
 * Turns each pair of the first `rotary` elements of every head by the table's angle at its token's position; the rest is
 * copied. x [..., T, H, headDim]; position i32: one a token, or [T] for all leading axes alike.
 */
export function rope(x: Tensor, table: RopeTable, position: Tensor, options: RopeOptions = {}): Tensor {
  return apply(ropeOp, [x, table.cos, table.sin, position], { interleaved: options.interleaved ?? false });
}
