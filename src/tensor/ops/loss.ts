// T tokens, V vocabulary.

import { apply } from "../apply.ts";
import { check, checkDtype, checkIds, checkShape, f32, type Op, rowsOf } from "../op.ts";
import { empty, show, type Tensor } from "../tensor.ts";

const crossEntropyOp: Op<null> = {
  name: "crossEntropy",
  shape([logits, target]) {
    checkDtype("crossEntropy", "logits", logits, ["f32"]);
    check(
      logits.rank === 2 && logits.shape[1] > 0,
      "crossEntropy",
      () => `logits ${show(logits.shape)} is not [tokens, vocabulary]`,
    );
    const [tokens, vocabulary] = logits.shape;
    checkIds("crossEntropy", "target", target, vocabulary);
    checkShape("crossEntropy", "target", target, [tokens]);
    return [f32([tokens]), f32([tokens])];
  },
  forward(run, [logits, target], [loss, lse]) {
    run.crossEntropy({
      logits: logits.buf,
      target: target.buf,
      loss: loss.buf,
      lse: lse.buf,
      ...rowsOf(logits),
    });
  },
  reads: { inputs: "all", outputs: [1] },
  vjp({ run, inputs: [logits, target], outputs: [, lse], grad }) {
    const dlogits = empty(logits.device, logits.shape);
    run.crossEntropyGrad({
      logits: logits.buf,
      target: target.buf,
      lse: lse.buf,
      dloss: grad.buf,
      dlogits: dlogits.buf,
      ...rowsOf(logits),
    });
    return [dlogits, null];
  },
};

/** -log softmax(logits)[target] of each token, in nats: logits [T, V] and target i32 [T] to [T]. A target below 0 gives 0 and no gradient. */
export function crossEntropy(logits_TV: Tensor, target_T: Tensor): Tensor {
  return apply(crossEntropyOp, [logits_TV, target_T], null);
}
