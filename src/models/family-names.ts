/** Every family that can be loaded, trained and saved, by its `model_type`. The command's help lists them without loading any. */
export const familyNames = [
  "llama",
  "mistral",
  "qwen2",
  "qwen3",
  "mixtral",
  "olmoe",
  "qwen2_moe",
  "qwen3_moe",
  "granitemoe",
  "granitemoeshared",
  "deepseek_v2",
  "deepseek_v3",
  "gpt_oss",
  "llama4_text",
  "llama4",
] as const;

export type FamilyName = (typeof familyNames)[number];
