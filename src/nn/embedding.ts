import type { Context, Tensor } from "../tensor/index.ts";
import { gatherRows } from "../tensor/index.ts";
import { type Module, type NamedParameter, Parameter } from "./module.ts";
import { project } from "./product.ts";

/** A learned row for each id: ids i32 [...] -> [..., D]. The weight is [V, D]. */
export class Embedding implements Module {
  readonly weight: Parameter;

  constructor(vocabulary: number, width: number, std = 0.02) {
    this.weight = new Parameter([vocabulary, width], { kind: "normal", std });
  }

  *tensors(): Iterable<NamedParameter> {
    yield ["weight", this.weight];
  }

  forward(ids: Tensor): Tensor {
    return gatherRows(this.weight.value, ids);
  }

  /** The tied output head (Press & Wolf 2017): x_TD -> logits_TV against the same rows. */
  logits(x_TD: Tensor, ctx: Context): Tensor {
    return project(x_TD, this.weight, ctx.precision);
  }
}
