import { fail } from "../errors.ts";
import { bytesOf } from "../kernels/abi.ts";
import { type MoeLayer, picksOf, type Route } from "../moe/index.ts";
import {
  context,
  type Device,
  MadeTensor,
  makeTensors,
  scope,
  type Tap,
  type Tensor,
} from "../tensor/index.ts";

/**
 * Experts of a model wider than memory. The weights are mapped, or made of what is mapped, so that any may be used at any time; the
 * cache decides which of them stay: an expert is asked for whole before its layer runs, then those that the next layer will likely
 * choose, and beyond the budget those unused for longest leave. It changes no result.
 *
 * The prediction is the next layer's router on this layer's input, which a residual stream changes little from one layer
 * to the next (Eliseev & Mazur 2023, "Fast inference of mixture-of-experts language models with offloading"). Where it is too often
 * wrong, what it has read costs more than it saves, and it is only watched until it is better.
 *
 * T tokens, D width.
 */

export interface ExpertCacheFigures {
  /** Experts that layers ran, counted once a layer and pass. */
  readonly used: number;
  /** Those that were in the cache by then. */
  readonly hits: number;
  /** Hits that were there because the layer before had foreseen them. */
  readonly foreseen: number;
  /** Bytes of files that were not there when they were asked for or run, and bytes in the cache now. */
  readonly bytesRead: number;
  readonly bytesHeld: number;
}

/** One expert's weights. */
interface Expert {
  /** Each lies in a mapped file, or is made of what does. */
  readonly pieces: readonly Tensor[];
  /** That it takes in memory. */
  readonly bytes: number;
  /** That are read for it. */
  readonly fileBytes: number;
  /** It was asked for before anyone needed it, and has not been used since. */
  foreseen: boolean;
}

/** Foresight reads while at least this share of what it would read is then used. */
const leastForesight = 0.6;
/** What one layer of one pass weighs in the running mean of that share. */
const foresightWeight = 0.05;
/** While it does not read, one pass in so many is foreseen, in all layers, to see whether it would be right. */
const foresightTrial = 8;

export class ExpertCache {
  private readonly device: Device;
  private readonly budget: number;
  private readonly layers: readonly MoeLayer[];
  /** The experts of each layer, by the number its router goes by. */
  private readonly experts = new Map<number, readonly Expert[]>();
  /** Longest unused first. */
  private readonly held = new Set<Expert>();
  /** Run by the layer under way beyond what the budget keeps: they leave when it is done. */
  private readonly passing = new Set<Expert>();
  /** What the layer under way routes. */
  private input_TD: Tensor | null = null;
  /** What was foreseen for a layer and was not there. */
  private readonly foreseen = new Map<number, ReadonlySet<number>>();
  /** Share of the foreseen that was used: a running mean. */
  private foresight = 1;
  private passes = 0;
  private readonly counts = { used: 0, hits: 0, foreseen: 0, bytesRead: 0, bytesHeld: 0 };

  /**
   * For the mixture layers of a model whose experts are mapped or made of what is; `budget` in bytes. Errors: "kernels" where they are not mapped, "usage"
   * for a budget that does not hold the experts of one token in one layer.
   */
  constructor(layers: readonly MoeLayer[], device: Device, budget: number) {
    this.device = device;
    this.budget = budget;
    this.layers = layers;
    for (const layer of layers) this.experts.set(layer.router.layer, expertsOf(layer));
    for (const { router } of layers) {
      const [first] = this.experts.get(router.layer)!;
      const picks = picksOf(router.spec) ?? router.spec.experts;
      if (budget < picks * first.bytes)
        fail(
          "usage",
          `an expert cache of ${budget} bytes: one token's ${picks} experts in layer ${router.layer} take ${picks * first.bytes}`,
          "give it room for those at least; more is faster",
        );
    }
    // What was made before is not among the held.
    for (const experts of this.experts.values())
      for (const expert of experts)
        for (const piece of expert.pieces) if (piece instanceof MadeTensor) piece.letGo();
  }

  get figures(): ExpertCacheFigures {
    return { ...this.counts };
  }

  /** Give it to the context of every pass. */
  readonly tap: Tap = (name, layer, value) => {
    if (name === "moe.input") this.input_TD = value as Tensor;
    if (name !== "moe.route") return;
    if (layer === this.layers[0]?.router.layer) this.passes++;
    const room = this.use(layer, value as Route);
    if (this.input_TD) this.foresee(layer, this.input_TD, room); // after what this layer waits for
    this.input_TD = null;
  };

  /**
   * Asks for what a layer is about to run, in the order that it runs them. Of more than the budget holds, as a long prompt takes, the
   * rest are read as the layer comes to them, and leave when it is done: to ask for them would drive out the first before they are used.
   * Gives the bytes of the budget that it leaves.
   */
  private use(layer: number, route: Route): number {
    const experts = this.experts.get(layer)!;
    const chosen = this.chosen(route);
    this.judge(layer, chosen);
    for (const expert of this.passing) {
      this.keep(expert, true);
      if (!this.held.has(expert)) this.advise(expert, "done");
    }
    this.passing.clear();
    let room = this.budget;
    for (const id of [...chosen].sort((a, b) => a - b)) {
      const expert = experts[id]!;
      this.counts.used++;
      if (this.held.has(expert)) {
        this.counts.hits++;
        if (expert.foreseen) this.counts.foreseen++;
      }
      expert.foreseen = false;
      room -= expert.bytes;
      if (room >= 0) this.hold(expert);
      else {
        this.passing.add(expert);
        if (!this.held.has(expert)) this.counts.bytesRead += expert.fileBytes;
      }
    }
    this.shrink();
    for (const expert of this.passing) this.keep(expert, this.held.has(expert));
    makeTensors([...chosen].flatMap((id) => (this.passing.has(experts[id]!) ? [] : experts[id]!.pieces)));
    return room;
  }

  /** Asks for what the layer after `layer` will likely choose for x_TD: of few tokens, since many choose nearly all. */
  private foresee(layer: number, x_TD: Tensor, room: number): void {
    const next = this.layers[this.layers.findIndex(({ router }) => router.layer === layer) + 1];
    if (next === undefined) return;
    const { router } = next;
    const { gate, select, experts: count } = router.spec;
    if (gate.kind === "hash" || select.by === "label") return; // neither chooses by the input alone
    if (x_TD.shape[0] * 4 > count) return;
    const isTrial = this.foresight < leastForesight;
    if (isTrial && this.passes % foresightTrial !== 0) return;
    const experts = this.experts.get(router.layer)!;
    const chosen = scope(() => this.chosen(router.route(x_TD, context())));
    const missing = new Set([...chosen].filter((id) => !this.held.has(experts[id]!)));
    this.foreseen.set(router.layer, missing);
    // It must not drive out what this layer is about to use.
    if (isTrial || chosen.size * experts[0]!.bytes > room) return;
    for (const id of chosen) {
      this.hold(experts[id]!);
      if (missing.has(id)) experts[id]!.foreseen = true;
    }
    this.shrink();
  }

  /** How right foresight was about a layer. */
  private judge(layer: number, chosen: ReadonlySet<number>): void {
    const missing = this.foreseen.get(layer);
    if (!missing?.size) return;
    this.foreseen.delete(layer);
    const right = [...missing].filter((id) => chosen.has(id)).length / missing.size;
    this.foresight += foresightWeight * (right - this.foresight);
  }

  /** The experts of a route that have work, each once. */
  private chosen(route: Route): Set<number> {
    const { experts } = route.spec;
    if (route.by !== "token") return new Set(Array.from({ length: experts }, (_, e) => e));
    const ids = new Set(this.device.kernels.mapping!.integers(route.kept_TK.buf, route.kept_TK.size));
    ids.delete(-1);
    return ids;
  }

  /** Makes it the last to leave; asks for it where it is not there. */
  private hold(expert: Expert): void {
    this.keep(expert, true);
    if (!this.held.delete(expert)) {
      this.advise(expert, "soon");
      this.counts.bytesRead += expert.fileBytes;
      this.counts.bytesHeld += expert.bytes;
    }
    this.held.add(expert);
  }

  private shrink(): void {
    for (const expert of this.held) {
      if (this.counts.bytesHeld <= this.budget) return;
      this.held.delete(expert);
      expert.foreseen = false;
      this.counts.bytesHeld -= expert.bytes;
      if (!this.passing.has(expert)) this.advise(expert, "done"); // else it is about to run
    }
  }

  private advise({ pieces }: Expert, when: "soon" | "done"): void {
    for (const piece of pieces) {
      if (!(piece instanceof MadeTensor)) {
        const { storage, offset, dtype } = piece.buf;
        this.device.kernels.mapping!.advise(storage, offset, bytesOf(dtype, piece.size), when);
      } else if (!piece.there) piece.advise(when);
      else if (when === "done") piece.letGo();
    }
  }

  /** Whether what is made for it stays once its layer has run. */
  private keep({ pieces }: Expert, stays: boolean): void {
    for (const piece of pieces) if (piece instanceof MadeTensor) piece.passing = !stays;
  }
}

/** The experts of a layer. */
function expertsOf({ router, experts }: MoeLayer): readonly Expert[] {
  const { count } = experts;
  const own: Tensor[][] = Array.from({ length: count }, () => []);
  for (const [name, { pieces, shape }] of experts.tensors()) {
    if (shape.length < 3) continue; // an offset an expert: small, and in memory
    if (pieces === null || !pieces.every((piece) => piece.mapped || piece instanceof MadeTensor))
      return fail(
        "kernels",
        `an expert cache: ${name} of layer ${router.layer} is held in memory, not mapped from a file`,
        "use the native kernels, and a model loaded as it is stored",
      );
    const each = pieces.length / count;
    for (const [i, piece] of pieces.entries()) own[Math.floor(i / each)]!.push(piece);
  }
  return own.map((pieces) => ({
    pieces,
    bytes: sum(pieces, ({ dtype, size }) => bytesOf(dtype, size)),
    fileBytes: sum(pieces, (piece) =>
      piece instanceof MadeTensor ? piece.sourceBytes : bytesOf(piece.dtype, piece.size),
    ),
    foreseen: false,
  }));
}

function sum(pieces: readonly Tensor[], bytes: (piece: Tensor) => number): number {
  return pieces.reduce((total, piece) => total + bytes(piece), 0);
}
