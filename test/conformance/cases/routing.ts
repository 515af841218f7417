import { type Case, exact, input, kernelCase, output } from "../harness.ts";
import { numbers } from "../inputs.ts";

const { floats, ints } = numbers(29);

/** What scores may hold besides numbers. */
type Kind = "plain" | "ties" | "ruled out" | "nan" | "infinite";

/** `n` scores: "ties" are eighths and both zeros; otherwise every fifth, about, is one of the kind. */
function scoresOf(n: number, kind: Kind): Float64Array {
  const specials: Readonly<Record<Kind, readonly number[]>> = {
    plain: [],
    ties: [0, -0],
    "ruled out": [-Infinity],
    nan: [Number.NaN, -Infinity],
    infinite: [Infinity, -Infinity, -3.4e38, 1e-42],
  };
  const special = specials[kind];
  const die = ints(n, 0, 4);
  const plain = floats(n);
  return plain.map((x, i) => {
    if (die[i] === 0 && special.length > 0) return special[i % special.length]!;
    return kind === "ties" ? Math.round(x * 8) / 8 : x;
  });
}

const kinds: readonly Kind[] = ["plain", "ties", "ruled out", "nan", "infinite"];

// ---- selectExperts

/** Tokens, experts, picks: a vector and its neighbours, more than are kept in registers, all of them, and many of many. */
const selections = [
  [1, 1, 1],
  [0, 4, 2],
  [5, 4, 1],
  [300, 8, 2],
  [33, 7, 7],
  [9, 17, 3],
  [40, 64, 8],
  [3, 65, 8],
  [17, 100, 6],
  [6, 130, 130],
  [12, 256, 8],
  [3, 384, 40],
  [4, 1000, 250],
  [2, 2500, 2500],
  [3, 3000, 1],
] as const;

function selection(
  name: string,
  scores: ArrayLike<number>,
  [tokens, experts, k]: readonly [number, number, number],
  topP: number,
): Case {
  return kernelCase(
    "selectExperts",
    `${name}: ${tokens} tokens, ${k} of ${experts} experts, topP ${topP}`,
    { scores: input(scores), ids: output(tokens * k, "i32"), tokens, k, experts, topP },
    exact,
  );
}

/** Rows of distributions: positive, adding up to 1. */
function distributions(tokens: number, experts: number): Float64Array {
  const weight_TE = floats(tokens * experts, 0, 1).map((x) => x ** 4);
  return weight_TE.map((w, i) => {
    const start = i - (i % experts);
    return Math.fround(w / weight_TE.subarray(start, start + experts).reduce((a, b) => a + b, 0));
  });
}

const selectCases = [
  ...selections.flatMap((shape) =>
    kinds.map((kind) => selection(kind, scoresOf(shape[0] * shape[1], kind), shape, Infinity)),
  ),
  ...selections.flatMap((shape) =>
    [0, 0.3, 0.9, 1].map((topP) =>
      selection("distributions", distributions(shape[0], shape[1]), shape, topP),
    ),
  ),
  ...kinds.map((kind) => selection(kind, scoresOf(20 * 9, kind), [20, 9, 9], 0.75)),
  selection("nothing allowed", [-Infinity, -Infinity, -Infinity, 1, -Infinity, 2], [2, 3, 2], Infinity),
  selection("one score everywhere", new Float64Array(2 * 1200).fill(0.25), [2, 1200, 600], Infinity),
  selection("NaN everywhere", new Float64Array(2 * 1200).fill(Number.NaN), [2, 1200, 600], 0.5),
];

// ---- ruleOut

const maskCases = [0, 1, 37, 70_000].flatMap((n) =>
  kinds.map((kind) =>
    kernelCase(
      "ruleOut",
      `${kind}: ${n} scores`,
      {
        scores: input(scoresOf(n, kind)),
        mask: input(ints(n, 0, 2).map((die) => (die === 0 ? -Infinity : 0))),
        out: output(n),
        n,
      },
      exact,
    ),
  ),
);

// ---- keepGroups

/** Tokens, experts, groups, kept, picks. */
const groupings = [
  [1, 1, 1, 1, 1],
  [0, 8, 2, 1, 2],
  [40, 8, 4, 2, 2],
  [9, 12, 12, 5, 3],
  [33, 60, 4, 3, 6],
  [200, 64, 8, 4, 6],
  [30, 256, 8, 4, 8],
  [6, 18, 6, 6, 18],
] as const;

function grouping(
  name: string,
  scores: ArrayLike<number>,
  [tokens, experts, groups, keep, k]: readonly [number, number, number, number, number],
  top2: boolean,
): Case {
  return kernelCase(
    "keepGroups",
    `${name}: ${tokens} tokens, ${keep} of ${groups} groups, ${k} of ${experts} experts${top2 ? ", by two" : ""}`,
    { scores: input(scores), out: output(tokens * experts), tokens, experts, groups, keep, k, top2 },
    exact,
  );
}

/** Scores of which most are ruled out, so that groups have to be passed over. */
function sparse(n: number): Float64Array {
  const die = ints(n, 0, 3);
  return floats(n).map((x, i) => (die[i] === 0 ? x : -Infinity));
}

const groupCases = [true, false].flatMap((top2) => [
  ...groupings.flatMap((shape) => [
    ...kinds.map((kind) => grouping(kind, scoresOf(shape[0] * shape[1], kind), shape, top2)),
    grouping("sparse", sparse(shape[0] * shape[1]), shape, top2),
  ]),
  grouping("nothing allowed", new Float64Array(8).fill(-Infinity), [1, 8, 4, 2, 2], top2),
]);

// ---- assignCapacity

const priorities = ["position", "score", "given"] as const;

interface Crowd {
  readonly tokens: number;
  readonly k: number;
  readonly experts: number;
  readonly group: number;
  readonly capacity: number;
  readonly lastCapacity: number;
}

/** Groups that divide and that do not, one token and none, one expert, no room and room for all. */
const crowds: readonly Crowd[] = [
  { tokens: 1, k: 1, experts: 1, group: 1, capacity: 1, lastCapacity: 1 },
  { tokens: 0, k: 2, experts: 3, group: 4, capacity: 1, lastCapacity: 1 },
  { tokens: 40, k: 2, experts: 4, group: 40, capacity: 9, lastCapacity: 11 },
  { tokens: 40, k: 1, experts: 1, group: 7, capacity: 3, lastCapacity: 2 },
  { tokens: 33, k: 3, experts: 5, group: 8, capacity: 4, lastCapacity: 1 },
  { tokens: 500, k: 2, experts: 16, group: 128, capacity: 20, lastCapacity: 17 },
  { tokens: 300, k: 4, experts: 8, group: 1000, capacity: 0, lastCapacity: 120 },
  { tokens: 64, k: 2, experts: 3, group: 16, capacity: 0, lastCapacity: 99 },
];

/** Each token's picks: its experts in a row from a random one on, one place in seven none. */
function picks({ tokens, k, experts }: Crowd): number[] {
  const first_T = ints(tokens, 0, experts - 1);
  const die_TK = ints(tokens * k, 0, 6);
  return Array.from({ length: tokens * k }, (_, i) => {
    const t = Math.floor(i / k);
    return die_TK[i] === 0 ? -1 : (Math.floor(first_T[t]! ** 2 / experts) + (i % k)) % experts;
  });
}

function crowding(crowd: Crowd, priority: (typeof priorities)[number], nextBest: boolean, kind: Kind): Case {
  const { tokens, k, experts, group } = crowd;
  return kernelCase(
    "assignCapacity",
    `${kind}: ${tokens} tokens by ${priority} in groups of ${group}, ${k} of ${experts} experts${nextBest ? ", next best" : ""}`,
    {
      ids: input(picks(crowd), "i32"),
      scores: input(scoresOf(tokens * experts, kind)),
      given: priority === "given" ? input(scoresOf(tokens, kind)) : null,
      kept: output(tokens * k, "i32"),
      ...crowd,
      priority,
      nextBest,
    },
    exact,
  );
}

const capacityCases = crowds.flatMap((crowd) =>
  priorities.flatMap((priority) =>
    [false, true].flatMap((nextBest) => kinds.map((kind) => crowding(crowd, priority, nextBest, kind))),
  ),
);

// ---- invertChoice

/** Tokens, experts, capacity. */
const choices = [
  [3, 2, 2],
  [1, 1, 1],
  [0, 3, 0],
  [5, 3, 0],
  [200, 8, 50],
] as const;

const inversions = choices.map(([tokens, experts, capacity]) => {
  const chosen = Array.from({ length: experts }, () => {
    const start = ints(1, 0, Math.max(0, tokens - 1))[0]!;
    const die = ints(capacity, 0, 5);
    return Array.from(die, (one, c) => (one === 0 ? -1 : (start + 3 * c) % tokens));
  });
  return kernelCase(
    "invertChoice",
    `${tokens} tokens, ${experts} experts of ${capacity}`,
    {
      chosen: input(chosen.flat(), "i32"),
      row: output(tokens * experts, "i32"),
      tokens,
      experts,
      capacity,
    },
    exact,
  );
});

export const routingCases: readonly Case[] = [
  ...selectCases,
  ...maskCases,
  ...groupCases,
  ...capacityCases,
  ...inversions,
];
