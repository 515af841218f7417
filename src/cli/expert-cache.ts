import { fail } from "../errors.ts";
import { ExpertCache, type ExpertCacheFigures } from "../infer/index.ts";
import type { Decoder } from "../models/index.ts";
import type { Device } from "../tensor/index.ts";
import { bytes } from "./output.ts";
import type { ExpertCacheFlag } from "./sampling-flags.ts";

/** The cache that the flag asks for; null without it. Errors: "usage" for a dense model or too small a budget, "kernels". */
export function expertCacheOf(
  { expertCache: budget }: ExpertCacheFlag,
  model: Decoder,
  device: Device,
): ExpertCache | null {
  if (budget === undefined) return null;
  const layers = model.blocks.flatMap(({ moe }) => (moe ? [moe] : []));
  if (layers.length === 0)
    fail("usage", "--expert-cache: the model is dense and has no experts", "leave --expert-cache out");
  return new ExpertCache(layers, device, budget);
}

/** "expert cache: 91 % hits (23 % foreseen), 310 MiB read". */
export function cacheLine({ used, hits, foreseen, bytesRead }: ExpertCacheFigures): string {
  const share = (part: number): string => `${Math.round((100 * part) / Math.max(1, used))} %`;
  return `expert cache: ${share(hits)} hits (${share(foreseen)} foreseen), ${bytes(bytesRead)} read`;
}
