import type { KernelTable } from "../abi.ts";
import { fallingOrder } from "./rows.ts";
import { f32, i32, load, store } from "./storage.ts";

type RoutingKernels = "selectExperts" | "ruleOut" | "keepGroups" | "assignCapacity" | "invertChoice";

/** A sum of f32 scores that are exact on paper may fall this much short of the threshold they add up to. */
const topPSlack = 2 ** -21;

/**
 * Who goes where, and who finds no room.
 *
 * T tokens, K picks a token, E experts, G groups of experts, S = E/G experts a group, C capacity. A place is one (token, rank) of [T,K];
 * an id below 0 is none.
 */
export const routings: Pick<KernelTable, RoutingKernels> = {
  selectExperts({ scores, ids, tokens, k, experts, topP }) {
    const scores_TE = f32(scores, tokens * experts);
    const ids_TK = i32(ids, tokens * k).fill(-1);
    for (let t = 0; t < tokens; t++) {
      const scores_E = scores_TE.subarray(t * experts, (t + 1) * experts);
      let sum = 0;
      for (const [rank, e] of fallingAllowed(scores_E).slice(0, k).entries()) {
        ids_TK[t * k + rank] = e;
        sum += scores_E[e]!;
        if (topP < Infinity && sum >= topP - topPSlack) break;
      }
    }
  },

  ruleOut({ scores, mask, out, n }) {
    const masks = load(mask, n);
    store(
      out,
      load(scores, n).map((score, i) => (masks[i] === -Infinity ? -Infinity : score)),
    );
  },

  keepGroups({ scores, out, tokens, experts, groups, keep, k, top2 }) {
    const size = experts / groups;
    const result = load(scores, tokens * experts);
    for (let start = 0; start < result.length; start += experts) {
      const scores_GS = Array.from({ length: groups }, (_, g) => {
        return result.subarray(start + g * size, start + (g + 1) * size);
      });
      const taken = takenGroups(scores_GS, { keep, k, top2 });
      scores_GS.forEach((scores_S, g) => {
        if (!taken.includes(g)) scores_S.fill(-Infinity);
      });
    }
    store(out, result);
  },

  assignCapacity({ ids, scores, given, kept, tokens, k, experts, group, priority, nextBest, ...places }) {
    const ids_TK = i32(ids, tokens * k);
    const scores_TE = f32(scores, tokens * experts);
    const given_T = given && f32(given, tokens);
    const kept_TK = i32(kept, tokens * k);
    for (let first = 0; first < tokens; first += group) {
      const end = Math.min(tokens, first + group);
      const left_E = new Int32Array(experts).fill(end === tokens ? places.lastCapacity : places.capacity);
      const order = Array.from({ length: end - first }, (_, i) => first + i);
      if (priority !== "position") {
        const value = (t: number): number => {
          if (priority === "given") return given_T![t]!;
          const e = ids_TK[t * k]!;
          return e < 0 ? Number.NaN : scores_TE[t * experts + e]!;
        };
        const absent = (t: number): number => Number(priority === "score" && ids_TK[t * k]! < 0);
        order.sort((a, b) => absent(a) - absent(b) || fallingOrder(value(a), value(b)) || a - b);
      }
      for (let rank = 0; rank < k; rank++)
        for (const t of order) {
          const choice = ids_TK[t * k + rank]!;
          const held = kept_TK.subarray(t * k, t * k + rank);
          const scores_E = scores_TE.subarray(t * experts, (t + 1) * experts);
          const e = nextBest ? bestWithRoom(choice, left_E, held, scores_E) : choice;
          const has = e >= 0 && left_E[e]! > 0;
          if (has) left_E[e]!--;
          kept_TK[t * k + rank] = has ? e : -1;
        }
    }
  },

  invertChoice({ chosen, row, tokens, experts, capacity }) {
    const chosen_EC = i32(chosen, experts * capacity);
    const row_TE = i32(row, tokens * experts).fill(-1);
    chosen_EC.forEach((t, r) => {
      if (t >= 0) row_TE[t * experts + Math.floor(r / capacity)] = r;
    });
  },
};

/** The places in `scores` that are not at -Infinity, from the best down: NaN first, ties to the lower index. */
function fallingAllowed(scores: ArrayLike<number>): number[] {
  const allowed = Array.from({ length: scores.length }, (_, e) => e).filter((e) => scores[e] !== -Infinity);
  return allowed.sort((a, b) => nanFirst(scores[a]!, scores[b]!) || a - b);
}

/**
 * The groups a token keeps. One is skipped where the groups still to come, the largest of them, could not make up for what it lacks: a
 * request that rules an expert out does not leave a token with fewer than it could have. With nothing ruled out these are the `keep` best.
 */
function takenGroups(
  scores_GS: readonly Float64Array[],
  { keep, k, top2 }: { keep: number; k: number; top2: boolean },
): number[] {
  const allowed_G = scores_GS.map((scores_S) => fallingAllowed(scores_S).length);
  const score_G = scores_GS.map((scores_S) => {
    const [best, second] = fallingAllowed(scores_S).map((e) => scores_S[e]!);
    if (best === undefined) return -Infinity;
    return top2 && second !== undefined ? Math.fround(best + second) : best;
  });
  const target = Math.min(k, sumOfLargest(allowed_G, keep));
  const falling = score_G.map((_, g) => g).sort((a, b) => nanFirst(score_G[a]!, score_G[b]!) || a - b);
  const taken: number[] = [];
  let allowed = 0;
  falling.forEach((g, place) => {
    if (taken.length === keep) return;
    const rest = falling.slice(place + 1).map((other) => allowed_G[other]!);
    if (allowed + allowed_G[g]! + sumOfLargest(rest, keep - taken.length - 1) < target) return;
    taken.push(g);
    allowed += allowed_G[g]!;
  });
  return taken;
}

function sumOfLargest(counts: readonly number[], n: number): number {
  const falling = [...counts].sort((a, b) => b - a);
  return falling.slice(0, n).reduce((sum, count) => sum + count, 0);
}

/** `choice` if it has room and the token does not hold it; else the token's highest-scored expert of which both are true; -1 if there is
 *  none. NaN ranks above all; a score of -Infinity marks an expert the token may not use. */
function bestWithRoom(choice: number, left_E: Int32Array, held: Int32Array, scores_E: Float32Array): number {
  if (choice < 0) return -1;
  const takes = (e: number): boolean => left_E[e]! > 0 && !held.includes(e);
  if (takes(choice)) return choice;
  return fallingAllowed(scores_E).find(takes) ?? -1;
}

/** How a and b stand in a falling row, for sort: NaN above all numbers. */
function nanFirst(a: number, b: number): number {
  return Number(Number.isNaN(b)) - Number(Number.isNaN(a)) || fallingOrder(a, b);
}
