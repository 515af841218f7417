import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Buf } from "./abi.ts";
import { plans } from "./reference/plan.ts";
import { f32, type HostStorage, i32 } from "./reference/storage.ts";
import { routingKernels } from "./routing.ts";

const routing = routingKernels({ f32, i32 });

function bufOf(values: Int32Array | Float32Array): Buf {
  const storage: HostStorage = { byteLength: values.byteLength, bytes: values.buffer as ArrayBuffer };
  return { storage, offset: 0, dtype: values instanceof Int32Array ? "i32" : "f32" };
}

const ints = (rows: readonly (readonly number[])[]): Buf => bufOf(Int32Array.from(rows.flat()));
const floats = (rows: readonly (readonly number[])[]): Buf => bufOf(Float32Array.from(rows.flat()));

/** [rows, n] from a flat array. */
function fold(values: Int32Array, n: number): number[][] {
  return Array.from({ length: values.length / n }, (_, r) => [...values.subarray(r * n, (r + 1) * n)]);
}

function plan(ids_TK: number[][], experts: number) {
  const places = ids_TK.length * ids_TK[0]!.length;
  const [offsets, token, row] = [new Int32Array(experts + 1), new Int32Array(places), new Int32Array(places)];
  plans.planRows({
    ids: ints(ids_TK),
    offsets: bufOf(offsets),
    token: bufOf(token),
    row: bufOf(row),
    tokens: ids_TK.length,
    k: ids_TK[0]!.length,
    experts,
  });
  return { offsets: [...offsets], token: [...token], row: fold(row, ids_TK[0]!.length) };
}

type Rules = { capacity: number; overflow: "drop" | "next-best"; priority: "position" | "score" };

function assign(ids_TK: number[][], scores_TE: number[][], rules: Rules): number[][] {
  const k = ids_TK[0]!.length;
  const kept = new Int32Array(ids_TK.length * k);
  routing.assignCapacity({
    ids: ints(ids_TK),
    scores: floats(scores_TE),
    kept: bufOf(kept),
    tokens: ids_TK.length,
    k,
    experts: scores_TE[0]!.length,
    ...rules,
  });
  return fold(kept, k);
}

function topP(scores_TE: number[][], k: number, p: number): number[][] {
  const ids = new Int32Array(scores_TE.length * k);
  const experts = scores_TE[0]!.length;
  routing.selectTopP({
    scores: floats(scores_TE),
    ids: bufOf(ids),
    tokens: scores_TE.length,
    k,
    experts,
    topP: p,
  });
  return fold(ids, k);
}

describe("planRows", () => {
  test("sorts places by expert, in token order within one", () => {
    // Expert 0 is chosen by tokens 1 and 3, expert 1 by nobody, expert 2 by 0, 1 and 2; token 2 has one place.
    const got = plan(
      [
        [2, 3],
        [0, 2],
        [-1, 2],
        [3, 0],
      ],
      4,
    );
    expect(got.offsets).toEqual([0, 2, 2, 5, 7]);
    expect(got.token).toEqual([1, 3, 0, 1, 2, 0, 3, -1]);
    expect(got.row).toEqual([
      [2, 5],
      [0, 3],
      [-1, 4],
      [6, 1],
    ]);
  });

  test("with no place taken has no rows", () => {
    expect(plan([[-1, -1]], 2)).toEqual({ offsets: [0, 0, 0], token: [-1, -1], row: [[-1, -1]] });
  });

  test("rows are the places in use, each once, rising by expert and then by token", () => {
    fc.assert(
      fc.property(routes(), ({ ids_TK, experts }) => {
        const { offsets, token, row } = plan(ids_TK, experts);
        const used = ids_TK.flatMap((ids, t) =>
          ids.flatMap((e, j) => (e < 0 ? [] : [{ e, t, r: row[t]![j]! }])),
        );
        used.sort((a, b) => a.e - b.e || a.t - b.t);
        expect(used.map(({ r }) => r)).toEqual(used.map((_, i) => i));
        expect(token.slice(0, used.length)).toEqual(used.map(({ t }) => t));
        expect(token.slice(used.length).every((t) => t === -1)).toBe(true);
        for (let e = 0; e < experts; e++)
          expect(offsets[e + 1]! - offsets[e]!).toBe(used.filter((one) => one.e === e).length);
      }),
    );
  });
});

test("countIds counts each expert and passes over none", () => {
  const counts = new Int32Array([9, 9, 9, 9]);
  plans.countIds({ ids: ints([[3, 0, -1, 3, 3, 1]]), counts: bufOf(counts), n: 6, experts: 4 });
  expect([...counts]).toEqual([1, 1, 0, 3]);
});

describe("assignCapacity", () => {
  const ids = [
    [0, 1],
    [0, 1],
    [0, 2],
  ];
  const scores = [
    [0.5, 0.3, 0.1, 0.1],
    [0.6, 0.2, 0.1, 0.1],
    [0.7, 0.05, 0.2, 0.05],
  ];

  test("by position the last to ask is dropped", () => {
    const kept = assign(ids, scores, { capacity: 2, overflow: "drop", priority: "position" });
    expect(kept).toEqual([
      [0, 1],
      [0, 1],
      [-1, 2],
    ]);
  });

  test("by score the lowest first choice is dropped", () => {
    const kept = assign(ids, scores, { capacity: 2, overflow: "drop", priority: "score" });
    expect(kept).toEqual([
      [-1, 1],
      [0, 1],
      [0, 2],
    ]);
  });

  test("every first choice goes before any second", () => {
    // Token 0's second choice is token 1's first: the first choice wins though it stands later.
    const kept = assign(
      [
        [0, 1],
        [1, 0],
      ],
      scores.slice(0, 2),
      { capacity: 1, overflow: "drop", priority: "position" },
    );
    expect(kept).toEqual([
      [0, -1],
      [1, -1],
    ]);
  });

  test("next-best takes the highest-scored expert with room, and another when its later choice is that one", () => {
    // Token 2 finds 0 full and takes 2. Its second choice is 2, which it now holds: 0 and 1 are full, so 3.
    const kept = assign(ids, scores, { capacity: 2, overflow: "next-best", priority: "position" });
    expect(kept).toEqual([
      [0, 1],
      [0, 1],
      [2, 3],
    ]);
  });

  test("next-best drops the place when nothing has room", () => {
    const kept = assign(
      [[0], [0], [1]],
      [
        [0.9, 0.1],
        [0.8, 0.2],
        [0.3, 0.7],
      ],
      { capacity: 1, overflow: "next-best", priority: "position" },
    );
    expect(kept).toEqual([[0], [1], [-1]]);
  });

  test("ties go to the lower index: of tokens by score, of experts as next best", () => {
    const equal = [
      [0.5, 0.2, 0.2, 0.1],
      [0.5, 0.2, 0.2, 0.1],
      [0.5, 0.2, 0.2, 0.1],
    ];
    expect(assign([[0], [0], [0]], equal, { capacity: 1, overflow: "drop", priority: "score" })).toEqual([
      [0],
      [-1],
      [-1],
    ]);
    expect(assign([[0], [0], [0]], equal, { capacity: 1, overflow: "next-best", priority: "score" })).toEqual(
      [[0], [1], [2]],
    );
  });

  test("next-best never takes an expert that is masked by -Infinity", () => {
    const masked = [
      [1, 0, -Infinity],
      [1, -Infinity, -Infinity],
    ];
    expect(assign([[0], [0]], masked, { capacity: 1, overflow: "next-best", priority: "position" })).toEqual([
      [0],
      [-1],
    ]);
  });

  test("negative scores order by value, and a token without a choice keeps none", () => {
    const negative = [
      [-3, -9],
      [-1, -9],
      [-2, -9],
      [-2, -9],
    ];
    expect(
      assign([[0], [0], [0], [-1]], negative, { capacity: 2, overflow: "drop", priority: "score" }),
    ).toEqual([[-1], [0], [0], [-1]]);
  });

  const rules = fc.record({
    capacity: fc.integer({ min: 0, max: 5 }),
    overflow: fc.constantFrom("drop" as const, "next-best" as const),
    priority: fc.constantFrom("position" as const, "score" as const),
  });

  test("agrees with the definition written out", () => {
    fc.assert(
      fc.property(routes(), rules, ({ ids_TK, scores_TE }, rule) => {
        expect(assign(ids_TK, scores_TE, rule)).toEqual(assignByDefinition(ids_TK, scores_TE, rule));
      }),
      { numRuns: 500 },
    );
  });

  test("no expert is over capacity, no token holds one twice, and a drop means that nothing was to be had", () => {
    fc.assert(
      fc.property(routes(), rules, ({ ids_TK, scores_TE, experts }, rule) => {
        const kept = assign(ids_TK, scores_TE, rule);
        const room = Array.from(
          { length: experts },
          (_, e) => rule.capacity - kept.flat().filter((id) => id === e).length,
        );
        expect(Math.min(...room)).toBeGreaterThanOrEqual(0);
        kept.forEach((held, t) => {
          const taken = held.filter((e) => e >= 0);
          expect(new Set(taken).size).toBe(taken.length);
          held.forEach((e, j) => {
            if (e >= 0 || ids_TK[t]![j]! < 0) return;
            if (rule.overflow === "drop") expect(room[ids_TK[t]![j]!]).toBe(0);
            else expect(room.every((left, other) => left === 0 || held.includes(other))).toBe(true);
          });
        });
      }),
      { numRuns: 500 },
    );
  });
});

/** DESIGN's "Capacity, exactly", sentence by sentence. */
function assignByDefinition(
  ids_TK: number[][],
  scores_TE: number[][],
  { capacity, overflow, priority }: Rules,
): number[][] {
  const firstScore = (t: number): number => scores_TE[t]![ids_TK[t]![0]!] ?? -Infinity;
  const order = ids_TK.map((_, t) => t);
  if (priority === "score")
    order.sort((a, b) => (firstScore(a) === firstScore(b) ? a - b : firstScore(b) - firstScore(a)));
  const kept: number[][] = ids_TK.map(() => []);
  const hasRoom = (e: number): boolean => kept.flat().filter((id) => id === e).length < capacity;
  for (let rank = 0; rank < ids_TK[0]!.length; rank++)
    for (const t of order) {
      const choice = ids_TK[t]![rank]!;
      const takes = (e: number): boolean => hasRoom(e) && !kept[t]!.includes(e);
      const byScore = scores_TE[t]!.map((_, e) => e).sort(
        (a, b) => scores_TE[t]![b]! - scores_TE[t]![a]! || a - b,
      );
      const candidates = choice < 0 ? [] : overflow === "drop" ? [choice] : [choice, ...byScore];
      kept[t]!.push(candidates.find(takes) ?? -1);
    }
  return kept;
}

describe("selectTopP", () => {
  test("takes the fewest experts whose scores reach p", () => {
    const scores = [
      [0.1, 0.6, 0.3],
      [0.2, 0.05, 0.75],
      [0.4, 0.35, 0.25],
    ];
    expect(topP(scores, 3, 0.7)).toEqual([
      [1, 2, -1],
      [2, -1, -1],
      [0, 1, -1],
    ]);
  });

  test("reaches p when the scores add up to it on paper, though their f32 fall short", () => {
    expect(Math.fround(0.7) + Math.fround(0.2)).toBeLessThan(0.9);
    expect(topP([[0.7, 0.2, 0.1]], 3, 0.9)).toEqual([[0, 1, -1]]);
  });

  test("takes one at least, k at most, ties to the lower index", () => {
    expect(topP([[0.25, 0.25, 0.25, 0.25]], 2, 0)).toEqual([[0, -1]]);
    expect(topP([[0.25, 0.25, 0.25, 0.25]], 2, 1)).toEqual([[0, 1]]);
    expect(topP([[0.1, 0.3, 0.3, 0.3]], 4, 0.85)).toEqual([[1, 2, 3, -1]]);
  });

  test("is the shortest prefix of the falling order that reaches p", () => {
    fc.assert(
      fc.property(routes(), fc.integer({ min: 0, max: 64 }), ({ scores_TE, experts }, sixtyFourths) => {
        const p = sixtyFourths / 64; // scores are sixty-fourths too: sums are exact
        topP(scores_TE, experts, p).forEach((ids, t) => {
          const row = scores_TE[t]!;
          const falling = row.map((_, e) => e).sort((a, b) => row[b]! - row[a]! || a - b);
          const sumOf = (count: number): number =>
            falling.slice(0, count).reduce((sum, e) => sum + row[e]!, 0);
          const count = Math.max(
            1,
            falling.findIndex((_, i) => sumOf(i) >= p),
          );
          const needed = sumOf(experts) < p || sumOf(count) < p ? experts : count;
          expect(ids).toEqual([...falling.slice(0, needed), ...Array(experts - needed).fill(-1)]);
        });
      }),
    );
  });
});

test("invertChoice names the row of each token with each expert", () => {
  // Expert 0 chose tokens 2 and 0, expert 1 chose 2 and nobody.
  const row = new Int32Array(6);
  routing.invertChoice({
    chosen: ints([
      [2, 0],
      [2, -1],
    ]),
    row: bufOf(row),
    tokens: 3,
    experts: 2,
    capacity: 2,
  });
  expect(fold(row, 2)).toEqual([
    [1, -1],
    [-1, -1],
    [0, 2],
  ]);
});

interface Route {
  ids_TK: number[][];
  scores_TE: number[][];
  experts: number;
}

/** Small routes with many ties: each token picks distinct experts, some places are none. */
function routes(): fc.Arbitrary<Route> {
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
