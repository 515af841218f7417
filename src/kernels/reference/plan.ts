import type { KernelTable } from "../abi.ts";
import { i32 } from "./storage.ts";

/** Rows sorted by expert, and how many each has. */
export const plans: Pick<KernelTable, "planRows" | "countIds"> = {
  planRows({ ids, offsets, token, row, tokens, k, experts }) {
    const ids_TK = i32(ids, tokens * k);
    const offset_E = i32(offsets, experts + 1);
    const [token_R, row_TK] = [i32(token, tokens * k), i32(row, tokens * k)];
    offset_E.fill(0);
    addCounts(ids_TK, offset_E.subarray(1));
    for (let e = 1; e <= experts; e++) offset_E[e]! += offset_E[e - 1]!;
    const next_E = offset_E.slice();
    ids_TK.forEach((e, place) => {
      const r = e >= 0 ? next_E[e]!++ : -1;
      row_TK[place] = r;
      if (r >= 0) token_R[r] = Math.floor(place / k);
    });
    token_R.fill(-1, offset_E.at(-1));
  },

  countIds({ ids, counts, n, experts }) {
    addCounts(i32(ids, n), i32(counts, experts).fill(0));
  },
};

function addCounts(ids: Int32Array, counts_E: Int32Array): void {
  for (const e of ids) if (e >= 0) counts_E[e]!++;
}
