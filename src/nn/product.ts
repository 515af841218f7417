import {
  concat,
  full,
  groupedMatmul,
  linear,
  MadeTensor,
  makeTensors,
  matmul,
  type Precision,
  type Tensor,
  tensor,
} from "../tensor/index.ts";
import type { Parameter } from "./module.ts";

/**
 * Products with a weight, whichever way it is held: trained (one tensor, with a gradient) or bound by a loader in pieces of any dtype.
 *
 * R rows, E experts, N and K the sizes of a matrix.
 */

/** x W^T: x [..., K] and a weight [N, K] to [..., N]. */
export function project(x: Tensor, weight_NK: Parameter, precision: Precision): Tensor {
  const { pieces } = weight_NK;
  if (pieces) return linear(x, pieces, { precision });
  return matmul(x, weight_NK.value, { transB: true, precision });
}

/** The rows of each expert, e's from offsets[e] to before offsets[e+1], times its own matrix: x [R, K], weight [E, N, K] -> [R, N]. */
export function projectGroups(
  x_RK: Tensor,
  weight_ENK: Parameter,
  offsets_E1: Tensor,
  precision: Precision,
): Tensor {
  const { pieces } = weight_ENK;
  if (!pieces) return groupedMatmul(x_RK, weight_ENK.value, offsets_E1, { transW: true, precision });
  if (weight_ENK.isPartial) return projectMade(x_RK, weight_ENK, offsets_E1, precision);
  return linear(x_RK, pieces, { offsets: offsets_E1, groups: weight_ENK.shape[0], precision });
}

/**
 * {@link projectGroups} where experts are made when they are needed: only those that have rows. The experts that nobody keeps are run
 * one by one, so that their memory is never needed all at once.
 */
function projectMade(
  x_RK: Tensor,
  { pieces, shape: [experts, n] }: Parameter,
  offsets_E1: Tensor,
  precision: Precision,
): Tensor {
  const [rows, k] = x_RK.shape;
  const { ids, ends } = groupsOf(offsets_E1);
  if (ids.length === 0) return full(x_RK.device, [rows, n], 0);
  const parts = pieces!.length / experts;
  const own = ids.map((id) => pieces!.slice(id * parts, (id + 1) * parts));
  const passes = (one: number): boolean => own[one].some(isPassing);
  const outs: Tensor[] = [];
  for (let one = 0, row = 0; one < ids.length; ) {
    const first = one++;
    if (!passes(first)) while (one < ids.length && !passes(one)) one++;
    const weights = own.slice(first, one).flat();
    makeTensors(weights);
    for (const piece of own[one] ?? []) if (piece instanceof MadeTensor && !piece.there) piece.advise("soon");
    const end = one === ids.length ? rows : ends[one - 1];
    const offsets = tensor(x_RK.device, Int32Array.of(0, ...ends.slice(first, one).map((at) => at - row)));
    outs.push(
      linear(x_RK.view([end - row, k], row * k), weights, { offsets, groups: one - first, precision }),
    );
    for (const piece of weights) if (isPassing(piece)) piece.letGo();
    row = end;
  }
  return outs.length === 1 ? outs[0] : concat(outs, 0);
}

function isPassing(piece: Tensor): piece is MadeTensor {
  return piece instanceof MadeTensor && piece.passing;
}

/** The experts that have rows. */
interface Groups {
  readonly ids: readonly number[];
  /** Where the rows of each end. */
  readonly ends: readonly number[];
}

/** Of offsets that were looked at: several weights share them. */
const seen = new WeakMap<Tensor, Groups>();

/** Waits for the kernels that make the offsets. */
function groupsOf(offsets_E1: Tensor): Groups {
  const known = seen.get(offsets_E1);
  if (known) return known;
  const { device, buf, size } = offsets_E1;
  const all = [...device.kernels.mapping!.integers(buf, size)];
  const ids = all.flatMap((end, i) => (i > 0 && end > all[i - 1] ? [i - 1] : []));
  const ends = ids.map((id) => all[id + 1]);
  const groups = { ids, ends };
  seen.set(offsets_E1, groups);
  return groups;
}
