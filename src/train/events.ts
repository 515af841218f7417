/** What a run tells whoever watches it. */
import type { Alarm, Causality, LayerFigures, LossName } from "../moe/index.ts";
import type { Evaluation } from "./evaluate.ts";

/** Which of the two models: the mixture of experts, or its dense twin. */
export type Role = "moe" | "dense";

/** The figures of one step, a line of `metrics.jsonl`: nothing in it depends on the clock. */
export interface StepRecord {
  readonly step: number;
  /** Mean cross-entropy, nats a token. */
  readonly loss: number;
  readonly lr: number;
  /** Global norm of the gradient before clipping. */
  readonly gradNorm: number;
  /** The routers' losses that have a coefficient, each before it: the mean over layers. */
  readonly losses: Readonly<Partial<Record<LossName, number>>>;
  /** One entry a mixture layer; none in a dense model. */
  readonly layers: readonly LayerFigures[];
}

/** A line of `metrics.jsonl` after an evaluation. */
export interface EvaluationRecord {
  readonly step: number;
  readonly heldOut: Evaluation;
}

export type TrainEvent =
  | {
      readonly type: "start";
      readonly role: Role;
      readonly totalParams: number;
      readonly activeParams: number;
      /** Steps done by an earlier part of this run. */
      readonly step: number;
      readonly steps: number;
      readonly tokensPerStep: number;
    }
  | {
      readonly type: "step";
      readonly role: Role;
      readonly record: StepRecord;
      readonly steps: number;
      /** Of the last few steps. */
      readonly tokensPerSecond: number;
      /** Share of the places of each expert, by layer. */
      readonly load: readonly (readonly number[])[];
      /** Expected time to the end of this model's training, in seconds. */
      readonly secondsLeft: number;
    }
  | { readonly type: "eval"; readonly role: Role; readonly step: number; readonly evaluation: Evaluation }
  | { readonly type: "checkpoint"; readonly role: Role; readonly step: number; readonly path: string }
  /** Experts starve, or a layer makes no choice any more. */
  | { readonly type: "alarm"; readonly role: Role; readonly alarm: Alarm }
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "interrupted"; readonly role: Role; readonly step: number; readonly out: string }
  | { readonly type: "done"; readonly summary: Summary };

/** One model at the end of its run; `layers` from the held-out text. */
export interface ModelSummary extends Evaluation {
  readonly totalParams: number;
  /** Parameters that one token meets. */
  readonly activeParams: number;
}

/** What `summary.json` holds at least. */
export interface Summary {
  /** Of the mixture. Where it is not causal, both models are to be judged by their figures from prefixes. */
  readonly causality: Causality;
  readonly moe: ModelSummary;
  readonly dense?: ModelSummary;
  /** Wall-clock time of training both models with evaluations and checkpoints (but each model's last), over all parts of a resumed run. */
  readonly seconds: { readonly train: number };
  /** Of the mixture's training steps. */
  readonly tokensPerSecond: number;
  /** Such as "native (avx2)". */
  readonly kernels: string;
  readonly threads: number;
  /** Of each model. */
  readonly steps: number;
  /** That each model was trained on. */
  readonly tokens: number;
}
