import fc from "fast-check";
import type { Buf } from "../../src/kernels/abi.ts";
import type { HostStorage } from "../../src/kernels/reference/storage.ts";

/** Host memory with `values`, as kernels of the reference take it. */
export function bufOf(values: Int32Array | Float32Array): Buf {
  const storage: HostStorage = { byteLength: values.byteLength, bytes: values.buffer as ArrayBuffer };
  return { storage, offset: 0, dtype: values instanceof Int32Array ? "i32" : "f32" };
}

export const ints = (rows: readonly (readonly number[])[]): Buf => bufOf(Int32Array.from(rows.flat()));
export const floats = (rows: readonly (readonly number[])[]): Buf => bufOf(Float32Array.from(rows.flat()));

/** [rows, n] from a flat array. */
export function fold(values: Int32Array, n: number): number[][] {
  return Array.from({ length: values.length / n }, (_, r) => [...values.subarray(r * n, (r + 1) * n)]);
}

export interface Route {
  ids_TK: number[][];
  scores_TE: number[][];
  experts: number;
}

/** Small routes with many ties: each token picks distinct experts, some places are none. */
export function routes(): fc.Arbitrary<Route> {
  return fc
    .record({ experts: fc.integer({ min: 1, max: 6 }), tokens: fc.integer({ min: 1, max: 12 }) })
    .chain(({ experts, tokens }) =>
      fc.integer({ min: 1, max: experts }).chain((k) => {
        const all = Array.from({ length: experts }, (_, e) => e);
        const ids = fc
          .tuple(
            fc.shuffledSubarray(all, { minLength: k, maxLength: k }),
            fc.array(fc.integer({ min: 0, max: 5 }), { minLength: k, maxLength: k }),
          )
          .map(([picked, die]) => picked.map((e, j) => (die[j] === 0 ? -1 : e)));
        const scores = fc.array(
          fc.integer({ min: 0, max: 16 }).map((s) => s / 64),
          { minLength: experts, maxLength: experts },
        );
        return fc.record({
          ids_TK: fc.array(ids, { minLength: tokens, maxLength: tokens }),
          scores_TE: fc.array(scores, { minLength: tokens, maxLength: tokens }),
          experts: fc.constant(experts),
        });
      }),
    );
}
