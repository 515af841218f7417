import { expect, test } from "vitest";
import { ConclaveError } from "../errors.ts";
import {
  type Batch,
  batched,
  bitsPerByte,
  checkSizes,
  domainsNeverDrawn,
  heldOutWindows,
  type Stream,
  trainingBatch,
} from "./data.ts";

/** Streams whose tokens tell where they are: 1000 * stream + place. */
function streamsOf(...lengths: readonly number[]): Stream[] {
  return lengths.map((length, s) => ({
    domain: `domain ${s}`,
    ids: Int32Array.from({ length }, (_, i) => 1000 * s + i),
  }));
}

const size = { batch: 3, sequence: 5 };

test("a batch depends on the seed and the step alone", () => {
  const streams = streamsOf(100, 40);
  const first = trainingBatch(streams, size, 7, 12);
  trainingBatch(streams, size, 7, 13);
  expect(trainingBatch(streams, size, 7, 12)).toEqual(first);
  expect(trainingBatch(streams, size, 7, 13)).not.toEqual(first);
  expect(trainingBatch(streams, size, 8, 12)).not.toEqual(first);
});

test("windows stay inside one domain, and each target is the token after its input", () => {
  const streams = streamsOf(30, 6, 8);
  for (let step = 1; step <= 50; step++) {
    const { inputs, targets, domains } = trainingBatch(streams, size, 1, step);
    for (let row = 0; row < size.batch; row++) {
      const start = inputs[row * 5];
      expect(Math.floor(start / 1000)).toBe(domains[row]);
      expect([...inputs.subarray(row * 5, row * 5 + 5)]).toEqual([0, 1, 2, 3, 4].map((i) => start + i));
      expect([...targets.subarray(row * 5, row * 5 + 5)]).toEqual([1, 2, 3, 4, 5].map((i) => start + i));
    }
  }
});

test("a domain with less text than a window fills it with its text over and over, drawn as often as its tokens are many", () => {
  const streams = streamsOf(45, 3, 5, 2, 1, 0); // 40 places to start, 3, 5, 2, and none in what has no token after another
  const counts = [0, 0, 0, 0, 0, 0];
  const starts = new Set<number>();
  for (let step = 1; step <= 1500; step++) {
    const { inputs, targets, domains } = trainingBatch(streams, size, 1, step);
    for (const [row, domain] of domains.entries()) {
      counts[domain]++;
      const { length } = streams[domain].ids;
      const start = inputs[row * 5] - 1000 * domain;
      starts.add(inputs[row * 5]);
      const at = (i: number): number => 1000 * domain + ((start + i) % length);
      expect([...inputs.subarray(row * 5, row * 5 + 5)]).toEqual([0, 1, 2, 3, 4].map(at));
      expect([...targets.subarray(row * 5, row * 5 + 5)]).toEqual([1, 2, 3, 4, 5].map(at));
    }
  }
  expect(starts.size).toBe(50);
  for (const [domain, share] of [0.8, 0.06, 0.1, 0.04, 0, 0].entries())
    expect(counts[domain] / 4500).toBeCloseTo(share, 1);
  expect(counts.slice(4)).toEqual([0, 0]);
});

test("domains that a run never draws are found", () => {
  const corpus = { train: streamsOf(1000, 6, 3, 0), heldOut: streamsOf(100, 100, 100, 100) };
  expect(domainsNeverDrawn(corpus, size, 1, 20_000)).toEqual(["domain 3"]);
  const few = domainsNeverDrawn(corpus, size, 1, 2);
  const drawn = [1, 2].flatMap((step) => trainingBatch(corpus.train, size, 1, step).domains);
  expect(few).toEqual([0, 1, 2, 3].filter((d) => !drawn.includes(d)).map((d) => `domain ${d}`));
  // What is not evaluated needs no word.
  const heldOut = [...streamsOf(100, 100, 100), { domain: "domain 3", ids: Int32Array.of(1) }];
  expect(domainsNeverDrawn({ ...corpus, heldOut }, size, 1, 20_000)).toEqual([]);
});

test("every window of the text is drawn equally often: a domain counts by its length", () => {
  const streams = streamsOf(95, 35); // 90 and 30 places to start
  const counts = [0, 0];
  const starts = new Set<number>();
  for (let step = 1; step <= 2000; step++) {
    const { domains, inputs } = trainingBatch(streams, size, 1, step);
    domains.forEach((domain, row) => {
      counts[domain]++;
      starts.add(inputs[row * 5]);
    });
  }
  expect(counts[0] / 6000).toBeCloseTo(0.75, 1);
  expect(starts.size).toBe(120);
});

test("held-out windows cover every token but the first of a stream once", () => {
  const streams = streamsOf(18, 1, 6);
  const targets = [...batched(streams, heldOutWindows(streams, 5, Infinity), 2)].flatMap((b: Batch) => [
    ...b.targets,
  ]);
  expect(targets).toEqual([...streams[0].ids.subarray(1), ...streams[2].ids.subarray(1)]);
});

test("a limit spreads the windows over all of the text", () => {
  const streams = streamsOf(51, 51);
  const starts = heldOutWindows(streams, 5, 4).map(({ stream, start }) => [stream, start]);
  expect(starts).toEqual([
    [0, 0],
    [0, 25],
    [1, 0],
    [1, 25],
  ]);
});

test("a batch holds windows of one domain and one length", () => {
  const streams = streamsOf(18, 16); // windows of 5, 5, 5, 2 and 5, 5, 5
  const sizes = [...batched(streams, heldOutWindows(streams, 5, Infinity), 2)].map((b) => [
    b.domains[0],
    b.batch,
    b.sequence,
  ]);
  expect(sizes).toEqual([
    [0, 2, 5],
    [0, 1, 5],
    [0, 1, 2],
    [1, 2, 5],
    [1, 1, 5],
  ]);
});

test("a text too small for one window is an error with the sizes", () => {
  const corpus = { train: streamsOf(100), heldOut: streamsOf(4, 5), tokenBytes: new Int32Array(0) };
  expect(() => checkSizes(corpus, 4)).not.toThrow();
  expect(() => checkSizes(corpus, 5)).toThrow(
    /held-out text has 9 tokens, at most 5 in one domain; a window takes 6/,
  );
  expect(() => checkSizes({ ...corpus, train: [] }, 4)).toThrow(ConclaveError);
});

test("a domain with nothing to learn or to predict is refused by name", () => {
  const tokenBytes = new Int32Array(4000).fill(1);
  tokenBytes[1001] = 0; // a mark that stands for no text
  const corpus = { train: streamsOf(100, 2), heldOut: streamsOf(100, 3), tokenBytes };
  expect(() => checkSizes(corpus, 5)).not.toThrow();
  for (const length of [0, 1])
    expect(() => checkSizes({ ...corpus, train: streamsOf(100, length) }, 5)).toThrow(
      `the training text of the domain "domain 1" has ${length} tokens`,
    );
  for (const length of [0, 1, 2])
    expect(() => checkSizes({ ...corpus, heldOut: streamsOf(100, length) }, 5)).toThrow(
      `the held-out text of the domain "domain 1" has ${length} tokens`,
    );
});

test("bits per byte: 8 tokens of 2 bits each over 4 bytes are 4 bits a byte", () => {
  expect(bitsPerByte(8 * Math.log(4), 4)).toBeCloseTo(4, 12);
});
