import { groupedMatmul, linear, matmul, type Precision, type Tensor } from "../tensor/index.ts";
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
  if (pieces) return linear(x_RK, pieces, { offsets: offsets_E1, groups: weight_ENK.shape[0], precision });
  return groupedMatmul(x_RK, weight_ENK.value, offsets_E1, { transW: true, precision });
}
