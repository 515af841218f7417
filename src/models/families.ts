import { fail } from "../errors.ts";
import type { Decoder } from "./decoder.ts";
import { MistralModel, readMistral } from "./families/mistral.ts";
import { MixtralModel, readMixtral } from "./families/mixtral.ts";

/** A family as config.json names it, and how to make its model from there. */
interface Family {
  /** What `architectures` may say. */
  readonly architectures: readonly string[];
  /** The model that a parsed config.json describes. Errors: "config". */
  readonly describe: (json: unknown, source: string) => Decoder;
}

/** Every family that can be loaded, trained and saved, by its `model_type`. */
export const families = {
  mixtral: {
    architectures: ["MixtralForCausalLM"],
    describe: (json: unknown, source: string): MixtralModel => new MixtralModel(readMixtral(json, source)),
  },
  mistral: {
    architectures: ["MistralForCausalLM"],
    describe: (json: unknown, source: string): MistralModel => new MistralModel(readMistral(json, source)),
  },
} as const;

export type FamilyName = keyof typeof families;
export const familyNames: readonly FamilyName[] = Object.keys(families) as FamilyName[];

/**
 * The model that a parsed config.json describes: shapes only, no memory yet. Errors: "model" where its
 * model_type or architecture is not supported, "config" where a key is unknown or does not fit.
 */
export function describeConfig(json: unknown, source = "config.json"): Decoder {
  const { model_type: type, architectures } = (json ?? {}) as Record<string, unknown>;
  const { describe, architectures: known } = familyOf(type, source);
  const architecture = Array.isArray(architectures) ? architectures[0] : architectures;
  if (architecture !== undefined && !known.includes(architecture)) {
    const given = JSON.stringify(architectures);
    fail("model", `${source}: architectures is ${given}; a ${type} that can be run is ${known.join(" or ")}`);
  }
  return describe(json, source);
}

function familyOf(type: unknown, source: string): Family {
  const family = Object.entries<Family>(families).find(([name]) => name === type)?.[1];
  const given = type === undefined ? "is missing" : `is ${JSON.stringify(type)}`;
  return family ?? fail("model", `${source}: model_type ${given}; supported: ${familyNames.join(", ")}`);
}
