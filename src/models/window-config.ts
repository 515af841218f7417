/** Sliding windows as the Qwen families' configs say them: a width, a switch, and which layers have it. */
import { z } from "zod";
import { fail } from "../errors.ts";
import { checkLength } from "./hf-config.ts";

export interface WindowJson {
  readonly use_sliding_window: boolean;
  readonly sliding_window: number | null;
  readonly max_window_layers: number;
  readonly layer_types: readonly ("full_attention" | "sliding_attention")[] | undefined;
}

export const windowKeys: { readonly [Key in keyof WindowJson]: z.ZodType<WindowJson[Key]> } = {
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.int().min(0).nullable().default(4096),
  max_window_layers: z.int().min(0).default(28),
  layer_types: z.array(z.enum(["full_attention", "sliding_attention"])).optional(),
};

/**
 * The window of each layer, in positions; 0: none. `slides` decides where the file does not name the layers'
 * types. Errors: "config".
 */
export function readWindows(
  json: WindowJson,
  layers: number,
  slides: (layer: number, maxWindowLayers: number) => boolean,
  source: string,
): number[] {
  const width = json.use_sliding_window ? (json.sliding_window ?? 0) : 0;
  const { layer_types: types, max_window_layers: most } = json;
  checkLength("layer_types", types, layers, source);
  const isSliding = (layer: number): boolean =>
    types ? types[layer] === "sliding_attention" : width > 0 && slides(layer, most);
  return Array.from({ length: layers }, (_, layer) => {
    if (!isSliding(layer)) return 0;
    if (width === 0)
      fail(
        "config",
        `${source}: layer_types: layer ${layer} slides, but use_sliding_window or sliding_window says no`,
      );
    return width;
  });
}

/** The keys of {@link readWindows}. Errors: "model", where layers have windows of several widths. */
export function writeWindows(windows: readonly number[]): Record<string, unknown> {
  const widths = [...new Set(windows.filter((window) => window > 0))];
  if (widths.length > 1)
    fail("model", `config.json: it can say one sliding window, not ${widths.join(" and ")}`);
  return {
    use_sliding_window: widths.length > 0,
    sliding_window: widths[0] ?? null,
    max_window_layers: windows.length,
    layer_types: windows.map((window) => (window > 0 ? "sliding_attention" : "full_attention")),
  };
}
