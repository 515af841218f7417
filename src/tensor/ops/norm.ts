import { apply } from "../apply.ts";
import { check, checkDtype, checkRows, checkShape, f32, type Op, rowsOf } from "../op.ts";
import { empty, type Tensor } from "../tensor.ts";

interface NormAttrs {
  readonly eps: number;
  /** Which of the inputs after x are there, in this order. */
  readonly hasWeight: boolean;
  readonly hasBias: boolean;
}

function parts(
  inputs: readonly Tensor[],
  { hasWeight, hasBias }: NormAttrs,
): { weight: Tensor | null; bias: Tensor | null } {
  return { weight: hasWeight ? inputs[1] : null, bias: hasBias ? inputs[inputs.length - 1] : null };
}

function checkNorm(op: string, inputs: readonly Tensor[], attrs: NormAttrs): void {
  const [x] = inputs;
  const { weight, bias } = parts(inputs, attrs);
  checkRows(op, x);
  check(attrs.eps >= 0, op, () => `eps is ${attrs.eps}`);
  if (weight) checkPart(op, "weight", weight, x);
  if (bias) checkPart(op, "bias", bias, x);
}

function checkPart(op: string, name: string, part: Tensor, x: Tensor): void {
  checkDtype(op, name, part, ["f32"]);
  checkShape(op, name, part, [rowsOf(x).n]);
}

const rmsNormOp: Op<NormAttrs> = {
  name: "rmsNorm",
  shape(inputs, attrs) {
    checkNorm("rmsNorm", inputs, attrs);
    const [x] = inputs;
    return [f32(x.shape), f32([rowsOf(x).rows])];
  },
  forward(run, inputs, [out, rstd], attrs) {
    const [x] = inputs;
    const weight = parts(inputs, attrs).weight?.buf ?? null;
    run.rmsNorm({ x: x.buf, weight, out: out.buf, rstd: rstd.buf, ...rowsOf(x), eps: attrs.eps });
  },
  reads: { inputs: "all", outputs: [1] },
  vjp({ run, inputs, outputs: [, rstd], grad, wanted, attrs, place }) {
    const [x] = inputs;
    const { weight } = parts(inputs, attrs);
    const dx = empty(x.device, x.shape);
    const dweight = weight && wanted[1] ? place(1) : null;
    run.rmsNormGrad({
      x: x.buf,
      weight: weight?.buf ?? null,
      rstd: rstd.buf,
      dy: grad.buf,
      dx: dx.buf,
      dweight: dweight?.buf ?? null,
      ...rowsOf(x),
    });
    return [dx, dweight];
  },
};

/** x / sqrt(mean(x^2) + eps) * weight along the last axis (Zhang & Sennrich 2019); weight [n], or null for ones. */
export function rmsNorm(x: Tensor, weight: Tensor | null, eps: number): Tensor {
  return apply(rmsNormOp, weight ? [x, weight] : [x], { eps, hasWeight: weight !== null, hasBias: false });
}

const layerNormOp: Op<NormAttrs> = {
  name: "layerNorm",
  shape(inputs, attrs) {
    checkNorm("layerNorm", inputs, attrs);
    const [x] = inputs;
    const { rows } = rowsOf(x);
    return [f32(x.shape), f32([rows]), f32([rows])];
  },
  forward(run, inputs, [out, mean, rstd], attrs) {
    const [x] = inputs;
    const { weight, bias } = parts(inputs, attrs);
    run.layerNorm({
      x: x.buf,
      weight: weight?.buf ?? null,
      bias: bias?.buf ?? null,
      out: out.buf,
      mean: mean.buf,
      rstd: rstd.buf,
      ...rowsOf(x),
      eps: attrs.eps,
    });
  },
  reads: { inputs: "all", outputs: [1, 2] },
  vjp({ run, inputs, outputs: [, mean, rstd], grad, wanted, attrs, place }) {
    const [x] = inputs;
    const { weight, bias } = parts(inputs, attrs);
    const dx = empty(x.device, x.shape);
    const dweight = weight && wanted[1] ? place(1) : null;
    const dbias = bias && wanted[inputs.length - 1] ? place(inputs.length - 1) : null;
    run.layerNormGrad({
      x: x.buf,
      weight: weight?.buf ?? null,
      mean: mean.buf,
      rstd: rstd.buf,
      dy: grad.buf,
      dx: dx.buf,
      dweight: dweight?.buf ?? null,
      dbias: dbias?.buf ?? null,
      ...rowsOf(x),
    });
    return [dx, ...(weight ? [dweight] : []), ...(bias ? [dbias] : [])];
  },
};

/** (x - mean) / sqrt(variance + eps) * weight + bias along the last axis (Ba et al. 2016); weight and bias [n], null for ones and zeros. */
export function layerNorm(x: Tensor, weight: Tensor | null, bias: Tensor | null, eps: number): Tensor {
  const inputs = [x, weight, bias].filter((part) => part !== null);
  return apply(layerNormOp, inputs, { eps, hasWeight: weight !== null, hasBias: bias !== null });
}
