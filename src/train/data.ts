/**
 * Text as token streams, the batches of a step, and the windows of a held-out evaluation. None of it has state: a batch depends on
 * (seed, step) alone, so that a resumed run needs to know nothing but its step.
 *
 * B windows a batch, S tokens a window.
 */
import { fail } from "../errors.ts";
import { Random, type Seed } from "../tensor/index.ts";
import type { TrainConfig } from "./config.ts";

/** All tokens of one domain in one split, documents in order. */
export interface Stream {
  readonly domain: string;
  readonly ids: Int32Array;
}

/** A tokenised corpus. */
export interface TokenCorpus {
  /** One stream a domain, in the same order in both splits. */
  readonly train: readonly Stream[];
  readonly heldOut: readonly Stream[];
  /** How many bytes of text each token stands for: 0 for special tokens. */
  readonly tokenBytes: Int32Array;
}

export interface Batch {
  /** [B, S], row by row. */
  readonly inputs: Int32Array<ArrayBuffer>;
  /** [B, S]: the token after each input. */
  readonly targets: Int32Array<ArrayBuffer>;
  readonly batch: number;
  readonly sequence: number;
  /** Index of each window's domain. */
  readonly domains: readonly number[];
}

/** The windows of `batch` in `parts` batches of equal size. */
export function splitBatch(batch: Batch, parts: number): Batch[] {
  const windows = batch.batch / parts;
  const { sequence } = batch;
  return Array.from({ length: parts }, (_, part) => {
    const [from, to] = [part * windows, (part + 1) * windows];
    return {
      inputs: batch.inputs.slice(from * sequence, to * sequence),
      targets: batch.targets.slice(from * sequence, to * sequence),
      batch: windows,
      sequence,
      domains: batch.domains.slice(from, to),
    };
  });
}

/**
 * Routing by label takes a text's domain for its label. Error "config" where a domain has no experts; it names `source`, which holds the
 * configuration.
 */
export function checkLabels(
  { model }: TrainConfig,
  texts: readonly { readonly domain: string }[],
  source?: string,
): void {
  const { select } = model.routing;
  if (select.by !== "label") return;
  const stranger = texts.find(({ domain }) => !Object.hasOwn(select.table, domain));
  if (stranger)
    fail(
      "config",
      `${from(source)}model.routing.select.table: no entry for the domain ${JSON.stringify(stranger.domain)}`,
      "list the experts of each domain there, or name the domains as the table does: --data name=path",
    );
}

/** Error "config" unless `data.priority`, where there is one, has a number for each domain and for no other; it names `source`. */
export function checkPriority(
  { data }: TrainConfig,
  texts: readonly { readonly domain: string }[],
  source?: string,
): void {
  const named = Object.keys(data.priority);
  if (named.length === 0) return;
  const domains = texts.map(({ domain }) => domain);
  const missing = domains.find((domain) => !named.includes(domain));
  if (missing !== undefined)
    fail(
      "config",
      `${from(source)}data.priority: no number for the domain ${JSON.stringify(missing)}`,
      "give one for each domain, or none",
    );
  const stray = named.find((name) => !domains.includes(name));
  if (stray !== undefined)
    fail(
      "config",
      `${from(source)}data.priority: there is no domain ${JSON.stringify(stray)}`,
      `the domains are ${domains.join(", ")}`,
    );
}

function from(source: string | undefined): string {
  return source === undefined ? "" : `${source}: `;
}

/**
 * Error "data" unless each split has room for one window in one of its domains at least, and each domain has something to learn in training
 * text and something to predict in held-out text.
 */
export function checkSizes(corpus: TokenCorpus, sequence: number): void {
  for (const [split, streams] of [
    ["training", corpus.train],
    ["held-out", corpus.heldOut],
  ] as const) {
    const longest = Math.max(0, ...streams.map(({ ids }) => ids.length));
    if (longest > sequence) continue;
    const total = streams.reduce((sum, { ids }) => sum + ids.length, 0);
    const each = streams.map(({ domain, ids }) => `${domain} ${ids.length}`).join(", ");
    fail(
      "data",
      `the ${split} text has ${total} tokens, at most ${longest} in one domain; a window takes ${sequence + 1} (data.sequence + 1): ${each}`,
      "give --data files or folders with more UTF-8 text, a smaller data.sequence, or one folder of all files, which is one domain",
    );
  }
  checkDomains(corpus);
}

function checkDomains({ train, heldOut, tokenBytes }: TokenCorpus): void {
  const remedy = "give it more text, or leave it out of --data";
  for (const { domain, ids } of train)
    if (ids.length < 2)
      fail(
        "data",
        `the training text of the domain ${JSON.stringify(domain)} has ${ids.length} tokens; one and the token after it are the least to learn from`,
        remedy,
      );
  for (const { domain, ids } of heldOut) {
    const bytes = ids.subarray(1).reduce((sum, id) => sum + (tokenBytes[id] ?? 0), 0);
    if (ids.length < 2 || (tokenBytes.length > 0 && bytes === 0))
      fail(
        "data",
        `the held-out text of the domain ${JSON.stringify(domain)} has ${ids.length} tokens, none of them text that follows a token: there is nothing to predict`,
        `${remedy}; a larger data.heldOutShare holds out more`,
      );
  }
}

/** Error "data" unless each id is below `vocabulary`: a pass that is done again does not look at its ids. */
export function checkIds({ train, heldOut }: TokenCorpus, vocabulary: number): void {
  for (const { domain, ids } of [...train, ...heldOut]) {
    const stray = ids.find((id) => id < 0 || id >= vocabulary);
    if (stray !== undefined)
      fail(
        "data",
        `the text of ${JSON.stringify(domain)} holds the id ${stray}; the model knows the ids 0 to ${vocabulary - 1}`,
        "encode the text with the model's own tokenizer",
      );
  }
}

/**
 * The places where a window may start: anywhere that leaves it whole. A stream shorter than a window and its last target starts at any of its
 * tokens, and goes on from its beginning, as often as the window takes: its text (which ends in an end-of-text token) over and over. Every
 * place of the window is then text of that domain, with the token that follows it as its target.
 */
function startsOf({ ids }: Stream, sequence: number): number {
  if (ids.length > sequence) return ids.length - sequence;
  return ids.length < 2 ? 0 : ids.length;
}

/** Draws the windows of a step: one place to start among all, each with the same chance. */
function drawStreams(
  starts: readonly number[],
  batch: number,
  seed: Seed,
  step: number,
): { stream: number; start: number }[] {
  const total = starts.reduce((sum, n) => sum + n, 0);
  const random = new Random(seed, "batch", step);
  return Array.from({ length: batch }, () => {
    let start = random.integer(total);
    let stream = 0;
    while (start >= starts[stream]) start -= starts[stream++];
    return { stream, start };
  });
}

/** The batch of `step`: B windows, each starting anywhere in the training text with the same chance (see {@link startsOf}). */
export function trainingBatch(
  streams: readonly Stream[],
  size: { readonly batch: number; readonly sequence: number },
  seed: Seed,
  step: number,
): Batch {
  const { batch, sequence } = size;
  const starts = streams.map((stream) => startsOf(stream, sequence));
  const drawn = drawStreams(starts, batch, seed, step);
  return gatherWindows(
    streams,
    drawn.map((place) => ({ ...place, length: sequence })),
  );
}

/** The domains with held-out text of which a run of `steps` steps draws no window: what it evaluates there it was never trained on. */
export function domainsNeverDrawn(
  { train, heldOut }: Pick<TokenCorpus, "train" | "heldOut">,
  size: { readonly batch: number; readonly sequence: number },
  seed: Seed,
  steps: number,
): string[] {
  const starts = train.map((stream) => startsOf(stream, size.sequence));
  const missing = new Set(heldOut.filter(({ ids }) => ids.length > 1).map(({ domain }) => domain));
  for (let step = 1; step <= steps && missing.size > 0; step++)
    for (const { stream } of drawStreams(starts, size.batch, seed, step))
      missing.delete(train[stream].domain);
  return [...missing];
}

/** `length` inputs from `start` on, with the `length` targets one place later; a training window may go on from its stream's beginning. */
export interface Window {
  readonly stream: number;
  readonly start: number;
  readonly length: number;
}

/**
 * Windows side by side that cover every token but the first of each stream once as a target; a stream's last one is shorter. With
 * more than `limit` of them, `limit` spread evenly.
 */
export function heldOutWindows(streams: readonly Stream[], sequence: number, limit: number): Window[] {
  const all: Window[] = [];
  streams.forEach(({ ids }, stream) => {
    for (let start = 0; start + 1 < ids.length; start += sequence) {
      all.push({ stream, start, length: Math.min(sequence, ids.length - 1 - start) });
    }
  });
  if (all.length <= limit) return all;
  return Array.from({ length: limit }, (_, i) => all[Math.floor((i * all.length) / limit)]);
}

/** Neighbouring windows of the same domain and length, at most `batch` together. */
export function* batched(
  streams: readonly Stream[],
  windows: readonly Window[],
  batch: number,
): Iterable<Batch> {
  let group: Window[] = [];
  for (const window of windows) {
    const [first] = group;
    const fits =
      first && window.stream === first.stream && window.length === first.length && group.length < batch;
    if (first && !fits) {
      yield gatherWindows(streams, group);
      group = [];
    }
    group.push(window);
  }
  if (group.length > 0) yield gatherWindows(streams, group);
}

function gatherWindows(streams: readonly Stream[], windows: readonly Window[]): Batch {
  const sequence = windows[0].length;
  const inputs = new Int32Array(windows.length * sequence);
  const targets = new Int32Array(windows.length * sequence);
  windows.forEach(({ stream, start }, row) => {
    const { ids } = streams[stream];
    fillFrom(ids, start, inputs.subarray(row * sequence, (row + 1) * sequence));
    fillFrom(ids, start + 1, targets.subarray(row * sequence, (row + 1) * sequence));
  });
  return { inputs, targets, batch: windows.length, sequence, domains: windows.map(({ stream }) => stream) };
}

/** Fills `to` with ids from `start` on, and from the beginning again where they end. */
function fillFrom(ids: Int32Array, start: number, to: Int32Array): void {
  for (let done = 0; done < to.length; ) {
    const from = (start + done) % ids.length;
    const piece = ids.subarray(from, from + to.length - done);
    to.set(piece, done);
    done += piece.length;
  }
}

/** Something about its domain for each token of `batch`. */
export function ofDomains<T>({ domains, sequence }: Batch, of: (domain: number) => T): T[] {
  return domains.flatMap((domain) => new Array<T>(sequence).fill(of(domain)));
}

/** The domain of each token of `batch`, for routing by label. */
export function labelsOf(batch: Batch, streams: readonly Stream[]): string[] {
  return ofDomains(batch, (domain) => streams[domain].domain);
}

/** Bits a byte of text costs: `nats` over all targets, `bytes` of the text they stand for. */
export function bitsPerByte(nats: number, bytes: number): number {
  return nats / Math.LN2 / bytes;
}
