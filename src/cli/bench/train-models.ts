import type { Json } from "../../train/index.ts";

export type TrainModelName = "small" | "deep";

/**
 * The models: "small" is the default preset's; "deep" has 12 layers of 16 experts, where weights (and so AdamW) weigh more against
 * products. Both keep their vocabulary small, so that the head does not hide the layers.
 */
export const overridesOf: Readonly<Record<TrainModelName, Json>> = {
  small: {},
  deep: {
    model: {
      width: 512,
      layers: 12,
      heads: 8,
      kvHeads: 4,
      expertWidth: 512,
      routing: { experts: 16, select: { by: "token", k: 2 } },
    },
    data: { sequence: 256, batch: 8 },
  },
};
export const modelNames: readonly TrainModelName[] = Object.keys(overridesOf) as TrainModelName[];
