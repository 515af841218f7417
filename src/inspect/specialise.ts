/**
 * What each expert specialises in: how its tokens differ from all tokens.
 *
 * T tokens, K picks a token, E experts, V vocabulary, D domains. A place is one (token, pick); dropped places (id below 0) do not count.
 */
import { type TokenKind, tokenKind, tokenKinds } from "./kinds.ts";

/** The choices of one layer for T tokens. */
export interface LayerChoices {
  readonly experts: number;
  /** Picks a token. */
  readonly k: number;
  /** [T*k] expert of each place, below 0 if none. */
  readonly ids_TK: Int32Array;
  /** [T*k] weight of each place: 0 where there is none, and of a dropped one what it would have had. */
  readonly weights_TK: Float32Array;
}

/** A token that an expert takes more often than its share would say. */
export interface TypicalToken {
  readonly id: number;
  readonly text: string;
  /** Places this expert took of the token. */
  readonly count: number;
  /** Share of the token's places that went to this expert, over this expert's share of all places. */
  readonly lift: number;
}

export interface ExpertProfile {
  /** Places taken, and their share of the layer's. */
  readonly count: number;
  readonly share: number;
  /** Of this expert's places, the share in each domain; sums to 1 (all 0 for an expert without tokens). */
  readonly domains: readonly number[];
  /** The same by {@link tokenKinds}. */
  readonly kinds: readonly number[];
  readonly typical: readonly TypicalToken[];
}

export interface LayerProfile {
  readonly experts: readonly ExpertProfile[];
  /** Bits that the expert of a place tells about its domain, and about its token's kind (mutual information). */
  readonly domainBits: number;
  readonly kindBits: number;
}

export interface Specialisation {
  readonly domains: readonly string[];
  readonly kinds: readonly TokenKind[];
  /** Share of all tokens in each domain, and of each kind: what an expert that does not specialise would show. */
  readonly domainShares: readonly number[];
  readonly kindShares: readonly number[];
  readonly layers: readonly LayerProfile[];
}

interface LayerCounts {
  readonly experts: number;
  readonly places: Float64Array;
  readonly byDomain: Float64Array;
  readonly byKind: Float64Array;
  readonly byToken: Map<number, number>[];
}

/** Adds up choices batch by batch, then says what each expert took. */
export class Specialist {
  private readonly domains: readonly string[];
  private readonly surface: (id: number) => string;
  private readonly kindOf = new Map<number, number>();
  private readonly tokenTotals = new Map<number, number>();
  private readonly domainTotals: Float64Array;
  private readonly kindTotals = new Float64Array(tokenKinds.length);
  private readonly layers: LayerCounts[] = [];

  /** `surface` gives a token's printable text. */
  constructor(domains: readonly string[], surface: (id: number) => string) {
    this.domains = domains;
    this.surface = surface;
    this.domainTotals = new Float64Array(domains.length);
  }

  /** `domain_T` holds each token's index into the domains. */
  add(tokens_T: ArrayLike<number>, domain_T: ArrayLike<number>, layers: readonly LayerChoices[]): void {
    for (let t = 0; t < tokens_T.length; t++) {
      this.domainTotals[domain_T[t]]++;
      this.kindTotals[this.kind(tokens_T[t])]++;
      bump(this.tokenTotals, tokens_T[t]);
    }
    layers.forEach((choices, layer) => {
      this.addLayer(this.counts(layer, choices.experts), tokens_T, domain_T, choices);
    });
  }

  /** The profile so far; at most `typical` tokens an expert. */
  result(typical = 12): Specialisation {
    return {
      domains: this.domains,
      kinds: tokenKinds,
      domainShares: shares(this.domainTotals),
      kindShares: shares(this.kindTotals),
      layers: this.layers.map((counts) => this.profile(counts, typical)),
    };
  }

  private addLayer(
    counts: LayerCounts,
    tokens_T: ArrayLike<number>,
    domain_T: ArrayLike<number>,
    choices: LayerChoices,
  ): void {
    const { ids_TK, k } = choices;
    for (let place = 0; place < ids_TK.length; place++) {
      const expert = ids_TK[place];
      if (expert < 0) continue;
      const t = Math.floor(place / k);
      counts.places[expert]++;
      counts.byDomain[expert * this.domains.length + domain_T[t]]++;
      counts.byKind[expert * tokenKinds.length + this.kind(tokens_T[t])]++;
      bump(counts.byToken[expert], tokens_T[t]);
    }
  }

  private counts(layer: number, experts: number): LayerCounts {
    this.layers[layer] ??= {
      experts,
      places: new Float64Array(experts),
      byDomain: new Float64Array(experts * this.domains.length),
      byKind: new Float64Array(experts * tokenKinds.length),
      byToken: Array.from({ length: experts }, () => new Map<number, number>()),
    };
    return this.layers[layer];
  }

  private kind(id: number): number {
    let kind = this.kindOf.get(id);
    if (kind === undefined) {
      kind = tokenKinds.indexOf(tokenKind(this.surface(id)));
      this.kindOf.set(id, kind);
    }
    return kind;
  }

  private profile(counts: LayerCounts, typical: number): LayerProfile {
    const total = sum(counts.places);
    const experts = Array.from(counts.places, (count, expert) => ({
      count,
      share: total > 0 ? count / total : 0,
      domains: shares(row(counts.byDomain, expert, this.domains.length)),
      kinds: shares(row(counts.byKind, expert, tokenKinds.length)),
      typical: this.typicalTokens(counts, expert, total, typical),
    }));
    return {
      experts,
      domainBits: mutualInformation(counts.byDomain, counts.experts, this.domains.length),
      kindBits: mutualInformation(counts.byKind, counts.experts, tokenKinds.length),
    };
  }

  /** Ranked by the log-likelihood ratio (Dunning 1993), which, unlike plain lift, does not favour tokens seen once. */
  private typicalTokens(counts: LayerCounts, expert: number, total: number, most: number): TypicalToken[] {
    const mine = counts.places[expert];
    const found: (TypicalToken & { score: number })[] = [];
    for (const [id, count] of counts.byToken[expert]) {
      let all = 0;
      for (const map of counts.byToken) all += map.get(id) ?? 0;
      const expected = (all * mine) / total;
      if (count <= expected) continue;
      const score = logLikelihoodRatio(count, mine, all - count, total - mine);
      found.push({ id, text: this.surface(id), count, lift: count / expected, score });
    }
    found.sort((a, b) => b.score - a.score || a.id - b.id);
    return found.slice(0, most).map(({ score: _, ...token }) => token);
  }
}

/** G^2 of seeing something k1 times in n1 and k2 times in n2 (Dunning 1993, "Accurate methods for the statistics of surprise"). */
export function logLikelihoodRatio(k1: number, n1: number, k2: number, n2: number): number {
  const p = (k1 + k2) / (n1 + n2);
  const side = (k: number, n: number) => {
    const hit = k > 0 ? k * Math.log(k / (n * p)) : 0;
    const miss = n - k > 0 ? (n - k) * Math.log((n - k) / (n * (1 - p))) : 0;
    return hit + miss;
  };
  return 2 * (side(k1, n1) + side(k2, n2));
}

/** I(row; column) in bits of a table of counts [rows, columns]. */
export function mutualInformation(counts: ArrayLike<number>, rows: number, columns: number): number {
  const total = sum(counts);
  if (total === 0) return 0;
  const rowSums = new Float64Array(rows);
  const columnSums = new Float64Array(columns);
  for (let i = 0; i < rows * columns; i++) {
    rowSums[Math.floor(i / columns)] += counts[i];
    columnSums[i % columns] += counts[i];
  }
  let bits = 0;
  for (let i = 0; i < rows * columns; i++) {
    if (counts[i] === 0) continue;
    const independent = (rowSums[Math.floor(i / columns)] * columnSums[i % columns]) / total;
    bits += (counts[i] / total) * Math.log2(counts[i] / independent);
  }
  return Math.max(0, bits);
}

function bump(map: Map<number, number>, key: number): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

function row(values: Float64Array, index: number, width: number): Float64Array {
  return values.subarray(index * width, (index + 1) * width);
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}

function shares(counts: Float64Array): number[] {
  const total = sum(counts);
  return Array.from(counts, (count) => (total > 0 ? count / total : 0));
}
