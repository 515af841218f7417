import type { Draws } from "./draws.ts";

/** Precision of matrix products: "bf16" rounds their inputs to bf16 and sums in f32. All else is always f32. */
export type Precision = "f32" | "bf16";

/** Told every named intermediate value; models do not know who listens. */
export type Tap = (name: string, layer: number, value: unknown) => void;

/** A tap of those who do not listen. */
export const untapped: Tap = () => {};

/** What a forward pass needs to know besides its inputs. */
export interface Context {
  /** True turns on what only training does: router noise, jitter. */
  readonly training: boolean;
  readonly precision: Precision;
  readonly tap: Tap;
  /** Where random numbers come from; null: none are drawn. */
  readonly draws: Draws | null;
}

/** A context with defaults: inference in f32, nobody listening, nothing drawn. */
export function context(options: Partial<Context> = {}): Context {
  return {
    training: false,
    precision: "f32",
    tap: untapped,
    draws: null,
    ...options,
  };
}
