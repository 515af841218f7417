import { fail } from "../errors.ts";
import type { Decoder } from "./decoder.ts";
import { MistralModel, readMistral } from "./families/mistral.ts";
import { MixtralModel, readMixtral } from "./families/mixtral.ts";

/** Every architecture that can be loaded, trained and saved, by the name that stands in config.json. */
export const families = {
  MixtralForCausalLM: (json: unknown, source: string): MixtralModel =>
    new MixtralModel(readMixtral(json, source)),
  MistralForCausalLM: (json: unknown, source: string): MistralModel =>
    new MistralModel(readMistral(json, source)),
} as const;

export type FamilyName = keyof typeof families;
export const familyNames: readonly FamilyName[] = Object.keys(families) as FamilyName[];

/**
 * The model that a parsed config.json describes: shapes only, no memory yet. Errors: "model" where its
 * architecture is not supported, "config" where a key is unknown or does not fit.
 */
export function describeConfig(json: unknown, source = "config.json"): Decoder {
  const { architectures } = (json ?? {}) as { architectures?: unknown };
  const name = Array.isArray(architectures) ? architectures[0] : undefined;
  if (typeof name !== "string" || !Object.hasOwn(families, name)) {
    const given = architectures === undefined ? "is missing" : `is ${JSON.stringify(architectures)}`;
    fail("model", `${source}: architectures ${given}; supported: ${familyNames.join(", ")}`);
  }
  return families[name as FamilyName](json, source);
}
