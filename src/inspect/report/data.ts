import type { LayerFigures } from "../../moe/index.ts";
import type { Specialisation } from "../specialise.ts";

/** What report.html shows. Parts that a report has no data for are null or empty, and their sections are left out. */
export interface ReportData {
  readonly title: string;
  /** One sentence under the title: the result. */
  readonly headline: string;
  readonly facts: readonly { readonly label: string; readonly value: string; readonly note?: string }[];
  readonly curves: readonly Curve[];
  /** The load of each layer over the run, by step. */
  readonly load: readonly LoadOverTime[];
  readonly specialisation: Specialisation | null;
  readonly passages: readonly Passage[];
  /** What the collapse alarm and other checks said, in order. */
  readonly notices: readonly string[];
  /** The number of the block that each layer stands in. */
  readonly layerNumbers: readonly number[];
  /** Figures of each layer on held-out text. */
  readonly layers: readonly LayerFigures[];
  readonly sample: { readonly prompt: string; readonly text: string } | null;
}

/** One model's learning curve: training loss and held-out loss, both in bits per byte. */
export interface Curve {
  readonly name: string;
  readonly train: readonly (readonly [step: number, bitsPerByte: number])[];
  readonly heldOut: readonly (readonly [step: number, bitsPerByte: number])[];
}

export interface LoadOverTime {
  /** First step of each column. */
  readonly steps: readonly number[];
  /** [columns][E]: share of places before capacity. */
  readonly shares: readonly (readonly number[])[];
}

/** A stretch of text with where each of its tokens went. */
export interface Passage {
  readonly name: string;
  readonly tokens: readonly string[];
  /** [layer][token]: the picks in rank order, as [expert, weight]; dropped picks have expert -1. */
  readonly routes: readonly (readonly (readonly (readonly [expert: number, weight: number])[])[])[];
}
