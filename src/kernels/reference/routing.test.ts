import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bufOf, floats, fold, ints, routes } from "../../../test/conformance/routes.ts";
import { plans } from "./plan.ts";
import { routings } from "./routing.ts";

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

function select(scores_TE: number[][], k: number, topP = Infinity): number[][] {
  const ids = new Int32Array(scores_TE.length * k);
  const experts = scores_TE[0]!.length;
  routings.selectExperts({
    scores: floats(scores_TE),
    ids: bufOf(ids),
    tokens: scores_TE.length,
    k,
    experts,
    topP,
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

describe("selectExperts", () => {
  const nan = Number.NaN;

  test("takes the k best, best first, ties to the lower index, and no expert that is ruled out", () => {
    const scores = [
      [0.1, 0.6, 0.3, 0.6],
      [-2, -Infinity, -1, -Infinity],
      [0, -0, -5, 0],
    ];
    expect(select(scores, 3)).toEqual([
      [1, 3, 2],
      [2, 0, -1],
      [0, 1, 3],
    ]);
  });

  test("ranks NaN above everything, and no sum with it reaches p", () => {
    expect(select([[Infinity, nan, 2, nan]], 3)).toEqual([[1, 3, 0]]);
    expect(select([[0.5, nan, 0.4, 0.1]], 3, 0.5)).toEqual([[1, 0, 2]]);
    expect(select([[0.5, Infinity, 0.4]], 3, 0.9)).toEqual([[1, -1, -1]]);
    expect(select([[0.5, Infinity, 0.4]], 3)).toEqual([[1, 0, 2]]);
  });

  test("takes the fewest experts whose scores reach p", () => {
    const scores = [
      [0.1, 0.6, 0.3],
      [0.2, 0.05, 0.75],
      [0.4, 0.35, 0.25],
    ];
    expect(select(scores, 3, 0.7)).toEqual([
      [1, 2, -1],
      [2, -1, -1],
      [0, 1, -1],
    ]);
  });

  test("reaches p when the scores add up to it on paper, though their f32 fall short", () => {
    expect(Math.fround(0.7) + Math.fround(0.2)).toBeLessThan(0.9);
    expect(select([[0.7, 0.2, 0.1]], 3, 0.9)).toEqual([[0, 1, -1]]);
  });

  test("takes one at least, k at most, ties to the lower index", () => {
    expect(select([[0.25, 0.25, 0.25, 0.25]], 2, 0)).toEqual([[0, -1]]);
    expect(select([[0.25, 0.25, 0.25, 0.25]], 2, 1)).toEqual([[0, 1]]);
    expect(select([[0.1, 0.3, 0.3, 0.3]], 4, 0.85)).toEqual([[1, 2, 3, -1]]);
  });

  test("is the shortest prefix of the falling order that reaches p", () => {
    fc.assert(
      fc.property(routes(), fc.integer({ min: 0, max: 64 }), ({ scores_TE, experts }, sixtyFourths) => {
        const p = sixtyFourths / 64; // scores are sixty-fourths too: sums are exact
        select(scores_TE, experts, p).forEach((ids, t) => {
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

interface Limit {
  readonly groups: number;
  readonly keep: number;
  readonly k: number;
  readonly top2: boolean;
}

function keepGroups(scores_TE: number[][], limit: Limit): number[][] {
  const [tokens, experts] = [scores_TE.length, scores_TE[0]!.length];
  const out = new Float32Array(tokens * experts);
  routings.keepGroups({ ...limit, scores: floats(scores_TE), out: bufOf(out), tokens, experts });
  return scores_TE.map((_, t) => [...out.subarray(t * experts, (t + 1) * experts)]);
}

describe("keepGroups", () => {
  const no = -Infinity;
  const nan = Number.NaN;
  const limit = { groups: 3, keep: 1, k: 1, top2: false };

  test("keeps the group of the best expert, or of the two best together; ties go to the lower group", () => {
    const scores = [[8, 1, 6, 5, 7, 3]];
    expect(keepGroups(scores, limit)).toEqual([[8, 1, no, no, no, no]]);
    expect(keepGroups(scores, { ...limit, top2: true })).toEqual([[no, no, 6, 5, no, no]]); // 9, 11 and 10
    expect(keepGroups([[1, 3, 3, 2, 3, 3]], limit)).toEqual([[1, 3, no, no, no, no]]);
    expect(keepGroups([[1, 2, 2, 1, 0, 3]], { ...limit, keep: 2, top2: true })).toEqual([
      [1, 2, 2, 1, no, no],
    ]);
  });

  test("a group is scored by the experts that are left of it", () => {
    // By two: 9 alone against 4 + 3 and 3 + 2.
    expect(keepGroups([[9, no, 4, 3, 3, 2]], { ...limit, top2: true })).toEqual([[9, no, no, no, no, no]]);
    // A group with nothing left loses to any other.
    expect(keepGroups([[no, no, -9, no, -8, -8]], { ...limit, keep: 2 })).toEqual([[no, no, -9, no, -8, -8]]);
  });

  test("passes over a group that would leave the token with fewer experts than it could have", () => {
    // Two experts of one group: the best group has one left, the second has both.
    expect(keepGroups([[9, no, 8, 7, 1, 1]], { ...limit, k: 2 })).toEqual([[no, no, 8, 7, no, no]]);
    // Three of two groups: the best may stay, with one of the others.
    expect(keepGroups([[9, no, no, 8, 1, 1]], { ...limit, keep: 2, k: 3 })).toEqual([[9, no, no, no, 1, 1]]);
    // No two groups have four experts, the second and third have three, as have the first and third.
    expect(keepGroups([[9, no, no, 8, 1, 1]], { ...limit, keep: 2, k: 4 })).toEqual([[9, no, no, no, 1, 1]]);
    expect(keepGroups([[9, no, no, 8, no, 7]], { ...limit, keep: 2, k: 4 })).toEqual([
      [9, no, no, 8, no, no],
    ]);
  });

  test("NaN is the best expert there is, counts as one, and is -Infinity in a group that is not kept", () => {
    expect(keepGroups([[9, 9, nan, 1, nan, nan]], limit)).toEqual([[no, no, nan, 1, no, no]]);
    expect(keepGroups([[9, 9, nan, no, 1, 1]], { ...limit, k: 2 })).toEqual([[9, 9, no, no, no, no]]);
  });

  test("with nothing ruled out it is the best groups; else as many experts stay as any groups would give", () => {
    const cases = fc.record({
      ruled: fc.array(fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), { minLength: 1, maxLength: 4 }),
      keep: fc.integer({ min: 1, max: 4 }),
      k: fc.integer({ min: 1, max: 8 }),
      top2: fc.boolean(),
      score: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 8, maxLength: 8 }),
    });
    fc.assert(
      fc.property(cases, ({ ruled, score, ...limit }) => {
        const pairs = [0, 1, 2, 3];
        const best = pairs.map((g) => {
          const [a, b] = [score[2 * g]!, score[2 * g + 1]!];
          return limit.top2 ? a + b : Math.max(a, b);
        });
        const kept = pairs.sort((a, b) => best[b]! - best[a]! || a - b).slice(0, limit.keep);
        const [plain] = keepGroups([score], { groups: 4, ...limit });
        expect(plain).toEqual(score.map((s, e) => (kept.includes(e >> 1) ? s : no)));
        const scores = ruled.map((out) => score.map((s, e) => (out[e] ? no : s)));
        keepGroups(scores, { groups: 4, ...limit }).forEach((got, t) => {
          const allowed = (row: number[]): number[] =>
            [0, 1, 2, 3].map((g) => row.slice(2 * g, 2 * g + 2).filter((s) => s !== no).length);
          const most = allowed(scores[t]!)
            .sort((a, b) => b - a)
            .slice(0, limit.keep);
          const left = allowed(got).reduce((a, b) => a + b, 0);
          expect(left).toBeGreaterThanOrEqual(
            Math.min(
              limit.k,
              most.reduce((a, b) => a + b, 0),
            ),
          );
          expect(allowed(got).filter((n) => n > 0).length).toBeLessThanOrEqual(limit.keep);
        });
      }),
      { numRuns: 500 },
    );
  });
});

test("invertChoice names the row of each token with each expert", () => {
  // Expert 0 chose tokens 2 and 0, expert 1 chose 2 and nobody.
  const row = new Int32Array(6);
  routings.invertChoice({
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
