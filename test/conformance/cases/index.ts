import type { KernelName } from "../../../src/kernels/abi.ts";
import type { Case } from "../harness.ts";
import { adamwCases } from "./adamw.ts";
import { attentionCases } from "./attention.ts";
import { elementwiseCases } from "./elementwise.ts";
import { linearCases } from "./linear.ts";
import { memoryCases } from "./memory.ts";
import { normCases } from "./norm.ts";
import { pagedAttentionCases } from "./paged-attention.ts";
import { pickCases } from "./pick.ts";
import { planCases } from "./plan.ts";
import { productCases } from "./products.ts";
import { randomCases } from "./random.ts";
import { reduceCases } from "./reduce.ts";
import { ropeCases } from "./rope.ts";
import { routingCases } from "./routing.ts";
import { rowCases } from "./rows.ts";
import { storedFormCases } from "./stored-forms.ts";

const all: readonly Case[] = [
  ...memoryCases,
  ...elementwiseCases,
  ...reduceCases,
  ...rowCases,
  ...normCases,
  ...ropeCases,
  ...pickCases,
  ...planCases,
  ...routingCases,
  ...randomCases,
  ...productCases,
  ...linearCases,
  ...storedFormCases,
  ...attentionCases,
  ...pagedAttentionCases,
  ...adamwCases,
];

/** The cases of one kernel. */
export function casesOf(kernel: KernelName): readonly Case[] {
  return all.filter((test) => test.kernel === kernel);
}
