import { expect, test } from "vitest";
import { createReferenceKernels } from "../kernels/reference/index.ts";
import { materialise, type ParameterArena } from "../nn/parameters.ts";
import {
  adamwStep,
  add,
  context,
  Device,
  Draws,
  full,
  mean,
  Random,
  scope,
  square,
  sub,
  Tape,
  type Tensor,
  tensor,
} from "../tensor/index.ts";
import { SwigluExperts } from "./experts.ts";
import { measureRoute, type RouteFigures, routeFigures } from "./figures.ts";
import { MoeLayer } from "./layer.ts";
import { parseLossSpec } from "./loss-spec.ts";
import { choiceCounts } from "./losses.ts";
import { parseRoutingSpec } from "./schema.ts";

/** Small training runs, the same to the bit every time: T tokens, D width. */

const device = new Device(createReferenceKernels());
const width = 4;

interface Task {
  readonly x: Tensor;
  readonly wanted: Tensor;
}

interface Run {
  readonly layer: MoeLayer;
  readonly arena: ParameterArena;
}

function makeLayer(spec: unknown, losses: unknown, { hidden = 6, gateStd = 0.3, seed = 1 } = {}): Run {
  const parsed = parseRoutingSpec(spec);
  const experts = new SwigluExperts({ count: parsed.experts, width, hidden, std: 0.4 });
  const layer = new MoeLayer({
    spec: parsed,
    width,
    experts,
    losses: parseLossSpec(losses, parsed),
    std: gateStd,
  });
  return { layer, arena: materialise(layer, device, seed) };
}

/** Trains on `task` for `steps` and returns each task loss. */
async function train({ layer, arena }: Run, task: Task, steps: number): Promise<number[]> {
  const m = full(device, arena.values.shape, 0);
  const v = full(device, arena.values.shape, 0);
  const draws = new Draws(device, 0);
  const history: number[] = [];
  for (let step = 1; step <= steps; step++) {
    draws.set(step);
    const error = scope(() => {
      device.kernels.run.fill({ out: arena.grads.buf, n: arena.grads.size, value: 0 });
      const tape = new Tape();
      const { loss, error, route } = tape.run(() => {
        const { y, losses, route } = layer.forward(task.x, context({ training: true, draws }));
        const error = mean(square(sub(y, task.wanted)));
        return { error, route, loss: losses.total ? add(error, losses.total) : error };
      });
      tape.backward(loss);
      adamwStep({
        values: arena.values,
        grads: arena.grads,
        m,
        v,
        gradScale: null,
        decayed: arena.decayed,
        step,
        lr: 0.02,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        decay: 0,
      });
      layer.router.bias?.update(choiceCounts(route));
      return error;
    });
    history.push(await error.item());
    error.dispose();
  }
  return history;
}

async function figuresOf(layer: MoeLayer, x: Tensor): Promise<RouteFigures> {
  return routeFigures(scope(() => measureRoute(layer.forward(x, context()).route)));
}

/** Tokens that lie to one side, so that a fresh router favours a few experts; they are to come back turned. */
function lopsided(tokens: number): Task {
  const values = new Random(3, "x")
    .normals(tokens * width)
    .map((n, i) => (i % width === 0 ? 2 + n / 2 : n / 2));
  const turned = values.map((_, i) => Math.tanh(values[i % width === width - 1 ? i + 1 - width : i + 1]));
  return { x: tensor(device, values, [tokens, width]), wanted: tensor(device, turned, [tokens, width]) };
}

test("a balance loss, and a selection bias, each make the load measurably more even than neither", async () => {
  const task = lopsided(48);
  const spec = { experts: 4, k: 1 };
  const runs = {
    plain: makeLayer(spec, {}),
    balanced: makeLayer(spec, { balance: 0.1 }),
    biased: makeLayer({ ...spec, bias: { kind: "selection-only", rate: 0.02 } }, {}),
  };
  const cv: Record<string, number> = {};
  for (const [name, run] of Object.entries(runs)) {
    const history = await train(run, task, 60);
    expect(history.at(-1), name).toBeLessThan(0.6 * history[0]);
    cv[name] = (await figuresOf(run.layer, task.x)).cv;
  }
  expect(cv.plain).toBeGreaterThan(0.5);
  expect(cv.balanced).toBeLessThan(0.6 * cv.plain);
  expect(cv.biased).toBeLessThan(0.6 * cv.plain);
});

/** Two domains told apart by the sign of the first number: one is to be negated, the other turned back to front. */
function twoDomains(tokens: number): Task {
  const values = new Random(7, "x").normals(tokens * width);
  const wanted = new Float32Array(values.length);
  for (let t = 0; t < tokens; t++) {
    const token = values.subarray(t * width, (t + 1) * width);
    token[0] = t % 2 ? 2 : -2;
    wanted.set(t % 2 ? token.map((v) => -v) : token.toReversed(), t * width);
  }
  return { x: tensor(device, values, [tokens, width]), wanted: tensor(device, wanted, [tokens, width]) };
}

/** The share of tokens on the expert that most of their domain is on, one expert a domain: 0.5 is chance. */
async function separation(layer: MoeLayer, x: Tensor): Promise<number> {
  const { route } = layer.forward(x, context());
  if (route.by !== "token") throw new Error("this is for token choice");
  const expert_T = Array.from(await route.ids_TK.data());
  const share = expert_T.filter((expert, t) => expert === t % 2).length / expert_T.length;
  return Math.max(share, 1 - share);
}

test("a planted task of two domains is separated by the router", async () => {
  const task = twoDomains(64);
  const run = makeLayer({ experts: 2, k: 1 }, { balance: 0.02 }, { hidden: 4, gateStd: 0.02, seed: 7 });
  expect(await separation(run.layer, task.x)).toBeLessThan(0.7);
  const history = await train(run, task, 200);
  expect(await separation(run.layer, task.x)).toBeGreaterThan(0.97);
  expect(history.at(-1)).toBeLessThan(0.02 * history[0]);
});
