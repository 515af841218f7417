import { fail } from "../errors.ts";
import {
  constant,
  type Device,
  full,
  reshape,
  scatterAddRows,
  sum,
  type Tensor,
  tensor,
} from "../tensor/index.ts";

/**
 * What is known of the tokens of a pass besides their features: which sequence each is of, and a label. Routing by label, capacities of
 * a sequence and losses by group read it; it never enters the tokens themselves.
 *
 * T tokens, S tokens a sequence, B = T/S sequences, L labels, G groups of tokens, E experts.
 */
export interface Units {
  /** S; the whole of them where they are no sequences. */
  readonly sequence: number;
  readonly labels: TokenLabels | null;
  /** f32 [T]: who is given an expert's places first, the highest first; null: nobody said. */
  readonly priority_T: Tensor | null;
}

/** A label a token. The tensor may be written anew between passes, so that a recorded pass reads other labels. */
export interface TokenLabels {
  readonly names: readonly string[];
  /** i32 [T]: places in `names`. */
  readonly ids_T: Tensor;
}

/** What a loss or a table of figures is taken over: all tokens at once, each sequence, or each label's tokens. */
export type Grouping = "batch" | "sequence" | "label";

/** A label for each token, as tensors. */
export function tokenLabels(device: Device, labels: readonly string[]): TokenLabels {
  const names = [...new Set(labels)];
  const place = new Map(names.map((name, i) => [name, i]));
  return {
    names,
    ids_T: tensor(
      device,
      Int32Array.from(labels, (label) => place.get(label)!),
    ),
  };
}

/** What of `labels` a caller gave, as tensors. */
export function asTokenLabels(
  device: Device,
  labels: readonly string[] | TokenLabels | null | undefined,
): TokenLabels | null {
  if (!labels) return null;
  return "ids_T" in labels ? labels : tokenLabels(device, labels);
}

/** Sums of the rows of x_TE over each group's tokens: [G,E]. On the tape. */
export function groupSums(x_TE: Tensor, over: Grouping, units: Units): Tensor {
  const [tokens, columns] = x_TE.shape;
  switch (over) {
    case "batch":
      return sum(x_TE, 0, { keep: true });
    case "sequence":
      return sum(reshape(x_TE, [sequencesOf(units, tokens), units.sequence, columns]), 1);
    case "label": {
      const { names, ids_T } = labelsOf(units, "a loss by label");
      checkTokens("labels", ids_T.size, tokens);
      return scatterAddRows(x_TE, ids_T, names.length);
    }
  }
}

/** The tokens of each group: f32 [G,1]. */
export function groupSizes(device: Device, tokens: number, over: Grouping, units: Units): Tensor {
  switch (over) {
    case "batch":
      return full(device, [1, 1], tokens);
    case "sequence":
      return full(device, [sequencesOf(units, tokens), 1], units.sequence);
    case "label":
      return groupSums(full(device, [tokens, 1], 1), over, units);
  }
}

/** The labels, which `reader` cannot do without. */
export function labelsOf({ labels }: Units, reader: string): TokenLabels {
  return (
    labels ?? fail("state", `route: no labels were given, and ${reader} needs them`, "pass one label a token")
  );
}

/** Throws "shape" unless there is one for each of `tokens`. */
export function checkTokens(what: string, given: number, tokens: number): void {
  if (given !== tokens) fail("shape", `route: ${given} ${what} for ${tokens} tokens`);
}

/** f32 [L,E]: 0 where a token of the label may go, -Infinity where not; kept by the device. */
export function labelMask(
  device: Device,
  table: Readonly<Record<string, readonly number[]>>,
  names: readonly string[],
  experts: number,
): Tensor {
  const stranger = names.find((name) => !Object.hasOwn(table, name));
  if (stranger !== undefined)
    fail(
      "spec",
      `route: label ${JSON.stringify(stranger)} is not in select.table, which has ${Object.keys(table).join(", ")}`,
    );
  const key = `labels: ${JSON.stringify([experts, names, names.map((name) => table[name])])}`;
  const flat = constant(device, key, () => {
    const mask_LE = new Float32Array(names.length * experts).fill(-Infinity);
    names.forEach((name, i) => {
      for (const expert of table[name]) mask_LE[i * experts + expert] = 0;
    });
    return mask_LE;
  });
  return reshape(flat, [names.length, experts]);
}

function sequencesOf({ sequence }: Units, tokens: number): number {
  if (tokens % sequence !== 0) fail("shape", `route: ${tokens} tokens are no whole sequences of ${sequence}`);
  return tokens / sequence;
}
