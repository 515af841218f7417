import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bufOf, floats, fold, ints, routes } from "../../../test/conformance/routes.ts";
import { routings } from "./routing.ts";

interface Rules {
  readonly capacity: number;
  readonly overflow: "drop" | "next-best";
  readonly priority: "position" | "score";
}

/** All tokens in one group. */
function assign(ids_TK: number[][], scores_TE: number[][], rules: Rules): number[][] {
  const { capacity, overflow, priority } = rules;
  return assignGroups(ids_TK, scores_TE, {
    group: ids_TK.length,
    capacity: 999, // of no group but the last
    lastCapacity: capacity,
    priority,
    given: null,
    nextBest: overflow === "next-best",
  });
}

interface GroupRules {
  readonly group: number;
  readonly capacity: number;
  readonly lastCapacity: number;
  readonly priority: "position" | "score" | "given";
  readonly given: number[] | null;
  readonly nextBest: boolean;
}

function assignGroups(ids_TK: number[][], scores_TE: number[][], rules: GroupRules): number[][] {
  const k = ids_TK[0]!.length;
  const kept = new Int32Array(ids_TK.length * k);
  routings.assignCapacity({
    ...rules,
    ids: ints(ids_TK),
    scores: floats(scores_TE),
    given: rules.given && floats([rules.given]),
    kept: bufOf(kept),
    tokens: ids_TK.length,
    k,
    experts: scores_TE[0]!.length,
  });
  return fold(kept, k);
}

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

  test("NaN comes after all numbers, and a token without a first choice after that, though it has a second", () => {
    const nan = Number.NaN;
    const three = [
      [0.5, 0.9],
      [nan, 0.9],
      [-7, 0.9],
    ];
    const rules = { overflow: "drop", priority: "score" } as const;
    const ids = [
      [-1, 0],
      [0, -1],
      [0, -1],
    ];
    expect(assign(ids, three, { capacity: 1, ...rules })).toEqual([
      [-1, -1],
      [-1, -1],
      [0, -1],
    ]);
    expect(assign(ids, three, { capacity: 2, ...rules })).toEqual([
      [-1, -1],
      [0, -1],
      [0, -1],
    ]);
  });

  test("each group of neighbours gives out places of its own, the shorter last one as many as it has", () => {
    const equal = Array.from({ length: 5 }, () => [1, 0]);
    const all = equal.map(() => [0]);
    const rules = { group: 2, priority: "position", given: null } as const;
    const dropped = assignGroups(all, equal, { ...rules, capacity: 1, lastCapacity: 0, nextBest: false });
    expect(dropped.flat()).toEqual([0, -1, 0, -1, -1]);
    const moved = assignGroups(all, equal, { ...rules, capacity: 1, lastCapacity: 1, nextBest: true });
    expect(moved.flat()).toEqual([0, 1, 0, 1, 0]);
  });

  test("the largest given comes first, ties to the lower index, -0 level with 0 and NaN last", () => {
    const given = [0, -0, -3, Number.NaN, 2, Infinity];
    const order = given.map((_, first) => {
      const rules = {
        group: 6,
        capacity: 0,
        lastCapacity: first,
        priority: "given",
        nextBest: false,
      } as const;
      return assignGroups(
        given.map(() => [0]),
        given.map(() => [1]),
        { ...rules, given },
      ).flat();
    });
    const served = order.slice(1).map((kept, i) => kept.findIndex((e, t) => e === 0 && order[i]![t] === -1));
    expect(served).toEqual([5, 4, 0, 1, 2]);
  });

  test("groups are served as if each were alone", () => {
    const several = fc.tuple(routes(), fc.integer({ min: 1, max: 5 }), fc.boolean());
    fc.assert(
      fc.property(several, ([{ ids_TK, scores_TE }, group, nextBest]) => {
        const rules = {
          group,
          capacity: 2,
          lastCapacity: 1,
          priority: "score",
          given: null,
          nextBest,
        } as const;
        const alone: number[][] = [];
        for (let t = 0; t < ids_TK.length; t += group) {
          const part = [ids_TK.slice(t, t + group), scores_TE.slice(t, t + group)] as const;
          const capacity = t + group < ids_TK.length ? 2 : 1;
          const overflow = nextBest ? "next-best" : "drop";
          alone.push(...assignByDefinition(...part, { capacity, overflow, priority: "score" }));
        }
        expect(assignGroups(ids_TK, scores_TE, rules)).toEqual(alone);
      }),
    );
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
