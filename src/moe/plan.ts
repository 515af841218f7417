import { fail } from "../errors.ts";
import {
  combineRows,
  constant,
  type Device,
  dispatchRows,
  empty,
  mul,
  reshape,
  type Tensor,
  takeAlong,
  transpose,
  withoutTape,
} from "../tensor/index.ts";
import type { ExpertRoute, Route, TokenRoute } from "./route.ts";
import { checkExperts } from "./select.ts";

/**
 * The plan: where each (token, expert) pair stands when rows are sorted by expert, so that each expert's work is one
 * dense block whatever the balance (MegaBlocks, Gale et al. 2023). Integers only, never on the tape.
 *
 * T tokens, D width, E experts, K picks a token (E in expert choice), R rows.
 */
export interface Plan {
  /** i32: expert e owns rows offsets[e] to offsets[e+1]. */
  readonly offsets_E1: Tensor;
  /** i32: the token of each row, -1 past the last. */
  readonly token_R: Tensor;
  /** i32: the row of each place, -1 where there is none. */
  readonly row_TK: Tensor;
}

/** The plan of a token-choice or expert-choice route; soft routing sorts nothing. */
export function planRows(route: Route): Plan {
  return withoutTape(() => {
    switch (route.by) {
      case "token":
        return sortPlaces(route.kept_TK, route.spec.experts);
      case "expert":
        return planChosen(route);
      case "soft":
        return fail(
          "state",
          "planRows: soft routing mixes tokens and has no rows to sort",
          "use dispatch_TN and combine_TN",
        );
    }
  });
}

/** The weight of each place, beside `row_TK`. */
export function placeWeights(route: TokenRoute | ExpertRoute): Tensor {
  return route.by === "token" ? route.weights_TK : route.weights_TE;
}

/** x_TD -> x_RD, each row a copy of its token. */
export function dispatch(x_TD: Tensor, plan: Plan): Tensor {
  return dispatchRows(x_TD, plan.token_R, plan.row_TK);
}

/** y_TD[t] = sum_k weights[t,k] * y_RD[row[t,k]]; weights null: ones. */
export function combine(y_RD: Tensor, plan: Plan, weights_TK: Tensor | null): Tensor {
  return combineRows(y_RD, plan.row_TK, weights_TK);
}

/** The weight of each row, [R,1], for experts whose input is weighed: on the tape. */
export function rowWeights(route: TokenRoute | ExpertRoute): Tensor {
  if (route.by === "expert") {
    const { chosen_EC, weights_TE } = route;
    return reshape(takeAlong(transpose(weights_TE), chosen_EC), [chosen_EC.size, 1]);
  }
  // A place taken for a token of its own: sorting those gives the place of each row.
  const places = route.kept_TK.size;
  const byPlace = withoutTape(() => sortPlaces(reshape(route.kept_TK, [places, 1]), route.spec.experts));
  return dispatch(reshape(route.weights_TK, [places, 1]), byPlace);
}

/** x_RD with each row times its weight. */
export function weighRows(x_RD: Tensor, route: TokenRoute | ExpertRoute): Tensor {
  return mul(x_RD, rowWeights(route));
}

function sortPlaces(ids_TK: Tensor, experts: number): Plan {
  checkExperts(ids_TK, experts);
  const [tokens, k] = ids_TK.shape;
  const { device } = ids_TK;
  const offsets_E1 = empty(device, [experts + 1], "i32");
  const token_R = empty(device, [tokens * k], "i32");
  const row_TK = empty(device, [tokens, k], "i32");
  device.kernels.run.planRows({
    ids: ids_TK.buf,
    offsets: offsets_E1.buf,
    token: token_R.buf,
    row: row_TK.buf,
    tokens,
    k,
    experts,
  });
  return { offsets_E1, token_R, row_TK };
}

/** i32 [E+1]: each expert owns as many rows. */
export function evenOffsets(device: Device, experts: number, rows: number): Tensor {
  return constant(device, `offsets: ${rows} rows of each of ${experts}`, () =>
    Int32Array.from({ length: experts + 1 }, (_, e) => e * rows),
  );
}

/** Expert choice needs no sorting: expert e's C tokens are its rows. */
function planChosen({ chosen_EC, row_TE, capacity }: ExpertRoute): Plan {
  const [experts] = chosen_EC.shape;
  return {
    offsets_E1: evenOffsets(chosen_EC.device, experts, capacity),
    token_R: reshape(chosen_EC, [chosen_EC.size]),
    row_TK: row_TE,
  };
}
