import type { Buf } from "./abi.ts";
import type { RoutingTable } from "./kernels.ts";

/**
 * Routing's integer kernels, shared by every implementation whose memory the host can see: each is a few linear
 * passes with nothing allocated per token.
 *
 * T tokens, K picks a token, E experts, C capacity. A place is one (token, rank) of [T,K]; an id below 0 is none.
 */

/** How an implementation shows its memory as typed arrays. */
export interface HostView {
  i32(buf: Buf, n: number): Int32Array;
  f32(buf: Buf, n: number): Float32Array;
}

/** The {@link RoutingTable} over memory seen through `view`. */
export function routingKernels(view: HostView): RoutingTable {
  const { i32, f32 } = view;
  return {
    assignCapacity({ ids, scores, kept, tokens, k, experts, capacity, overflow, priority }) {
      const ids_TK = i32(ids, tokens * k);
      const scores_TE = f32(scores, tokens * experts);
      const order_T = priority === "score" ? byFirstScore(ids_TK, scores_TE, k, experts) : null;
      const rooms = new Rooms(experts, capacity);
      const kept_TK = i32(kept, tokens * k);
      for (let rank = 0; rank < k; rank++)
        for (let i = 0; i < tokens; i++) {
          const t = order_T ? order_T[i]! : i;
          const choice = ids_TK[t * k + rank]!;
          const given =
            overflow === "drop"
              ? rooms.has(choice)
                ? choice
                : -1
              : bestWithRoom(rooms, choice, kept_TK, t * k, rank, scores_TE, t * experts);
          if (given >= 0) rooms.take(given);
          kept_TK[t * k + rank] = given;
        }
    },

    selectTopP({ scores, ids, tokens, k, experts, topP }) {
      const scores_TE = f32(scores, tokens * experts);
      const ids_TK = i32(ids, tokens * k).fill(-1);
      for (let t = 0; t < tokens; t++) selectTopP(scores_TE, t * experts, experts, ids_TK, t * k, k, topP);
    },

    invertChoice({ chosen, row, tokens, experts, capacity }) {
      const chosen_EC = i32(chosen, experts * capacity);
      const row_TE = i32(row, tokens * experts).fill(-1);
      for (let e = 0; e < experts; e++)
        for (let r = e * capacity; r < (e + 1) * capacity; r++) {
          const t = chosen_EC[r]!;
          if (t >= 0) row_TE[t * experts + e] = r;
        }
    },
  };
}

/** The places each expert has left, and which experts have any, in order of index. */
class Rooms {
  readonly #left_E: Int32Array;
  readonly #open: Int32Array;
  #openCount: number;

  constructor(experts: number, capacity: number) {
    this.#left_E = new Int32Array(experts).fill(capacity);
    this.#open = Int32Array.from({ length: capacity > 0 ? experts : 0 }, (_, e) => e);
    this.#openCount = this.#open.length;
  }

  /** The experts with room, rising. */
  get open(): Int32Array {
    return this.#open;
  }

  get openCount(): number {
    return this.#openCount;
  }

  has(expert: number): boolean {
    return expert >= 0 && this.#left_E[expert]! > 0;
  }

  take(expert: number): void {
    if (--this.#left_E[expert]! > 0) return;
    const at = this.#open.indexOf(expert);
    this.#open.copyWithin(at, at + 1, this.#openCount--);
  }
}

/** `choice` if it has room and the token does not hold it; else the token's highest-scored expert of which both are
 *  true; -1 if there is none. A score of -Infinity marks an expert the token may not use. What the token holds is
 *  kept_TK from `first` on, `held` places. */
function bestWithRoom(
  rooms: Rooms,
  choice: number,
  kept_TK: Int32Array,
  first: number,
  held: number,
  scores_TE: Float32Array,
  row: number,
): number {
  if (choice < 0) return -1;
  if (rooms.has(choice) && !holds(kept_TK, first, held, choice)) return choice;
  const { open, openCount } = rooms;
  let best = -1;
  let bestScore = -Infinity;
  for (let i = 0; i < openCount; i++) {
    const e = open[i]!;
    const score = scores_TE[row + e]!;
    if (score > bestScore && !holds(kept_TK, first, held, e)) {
      best = e;
      bestScore = score;
    }
  }
  return best;
}

function holds(kept_TK: Int32Array, first: number, held: number, expert: number): boolean {
  for (let place = first; place < first + held; place++) if (kept_TK[place] === expert) return true;
  return false;
}

/** A sum of f32 scores that are exact on paper may fall this much short of the threshold they add up to. */
const topPSlack = 2 ** -21;

/** Walks one token's experts in falling order of score, ties to the lower index, until the sum reaches topP. */
function selectTopP(
  scores_TE: Float32Array,
  row: number,
  experts: number,
  ids_TK: Int32Array,
  first: number,
  k: number,
  topP: number,
): void {
  let sum = 0;
  let last = -1;
  let lastScore = Infinity;
  for (let rank = 0; rank < k; rank++) {
    let best = -1;
    let bestScore = -Infinity;
    for (let e = 0; e < experts; e++) {
      const score = scores_TE[row + e]!;
      const comesAfterLast = score < lastScore || (score === lastScore && e > last);
      if (score > bestScore && comesAfterLast) {
        best = e;
        bestScore = score;
      }
    }
    if (best < 0) return;
    ids_TK[first + rank] = best;
    sum += bestScore;
    if (sum >= topP - topPSlack) return;
    last = best;
    lastScore = bestScore;
  }
}

/** Tokens by falling score of their first choice, ties to the lower index; tokens without one come last. */
function byFirstScore(ids_TK: Int32Array, scores_TE: Float32Array, k: number, experts: number): Int32Array {
  const tokens = ids_TK.length / k;
  const score_T = new Float32Array(tokens);
  for (let t = 0; t < tokens; t++) {
    const e = ids_TK[t * k]!;
    score_T[t] = e < 0 ? -Infinity : scores_TE[t * experts + e]!;
  }
  return fallingOrder(score_T);
}

/** Indices of `values` from the largest down, ties to the lower index: a stable radix sort, eight bits a pass. */
function fallingOrder(values: Float32Array): Int32Array {
  const key = risingKeys(values);
  let order = new Int32Array(values.length);
  let sorted = new Int32Array(values.length);
  for (let i = 0; i < order.length; i++) order[i] = i;
  const start = new Int32Array(257);
  for (let shift = 0; shift < 32; shift += 8) {
    start.fill(0);
    for (let i = 0; i < key.length; i++) start[((key[i]! >>> shift) & 255) + 1]!++;
    for (let digit = 0; digit < 256; digit++) start[digit + 1]! += start[digit]!;
    for (let i = 0; i < order.length; i++) sorted[start[(key[order[i]!]! >>> shift) & 255]!++] = order[i]!;
    [order, sorted] = [sorted, order];
  }
  return order;
}

/** Unsigned integers that rise as `values` fall: bits without a sign rise with the value, so they are turned over; bits
 *  with one already rise as the value falls. */
function risingKeys(values: Float32Array): Uint32Array {
  const signless = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) signless[i] = values[i]! + 0; // -0 and 0 are a tie
  const key = new Uint32Array(signless.buffer);
  for (let i = 0; i < key.length; i++) if (key[i]! >>> 31 === 0) key[i] = ~key[i]! & 0x7fffffff;
  return key;
}
