/** What a checkpoint says of the newest evaluation, checked like all that is read. */
import { z } from "zod";
import type { Evaluation } from "./evaluate.ts";

/** JSON has no infinities and writes null for them, as in the bits per byte of a domain without a byte. */
const figure = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const count = z.int().nonnegative();
const counts = z.array(z.number().nonnegative());

const prefixes = {
  prefixBitsPerByte: figure.optional(),
  prefixStandardError: figure.optional(),
  prefixLoss: figure.optional(),
  prefixPositions: count.optional(),
};

const layer = z.strictObject({
  counts,
  maxOverMean: figure,
  cv: figure,
  entropy: figure,
  dropped: figure,
  countsByDomain: z.array(counts),
});

export const evaluationSchema: z.ZodType<Evaluation> = z.strictObject({
  causality: z.enum(["causal", "batch", "future"]).default("causal"), // runs of earlier versions do not say
  bitsPerByte: figure,
  ...prefixes,
  loss: figure,
  tokens: count,
  bytes: count,
  domains: z.array(
    z.strictObject({ domain: z.string(), bitsPerByte: figure, ...prefixes, tokens: count, bytes: count }),
  ),
  layers: z.array(layer),
});
