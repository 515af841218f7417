import { expect, test } from "vitest";
import { ConclaveError } from "../errors.ts";
import { type Json, parseConfig, resolveConfig } from "./config.ts";
import { checkLabels, checkPriority } from "./data.ts";
import { modelOf } from "./model.ts";

const file = (json: unknown): { path: string; json: unknown } => ({ path: "run.json", json });

test("the file's keys stand over the preset's, the command line's over both", () => {
  const config = resolveConfig({
    preset: "tiny",
    file: file({ steps: 7, optimizer: { lr: 0.5, warmup: 2 } }),
    overrides: { optimizer: { lr: 0.25 }, seed: undefined },
  });
  expect(config.steps).toBe(7);
  expect(config.optimizer).toEqual({ ...resolveConfig({ preset: "tiny" }).optimizer, warmup: 2, lr: 0.25 });
  expect(config.seed).toBe(1);
  expect(config.model.width).toBe(resolveConfig({ preset: "tiny" }).model.width);
});

test("a field of the routing spec is replaced whole, and k alone stands for token choice", () => {
  const routing = (json: Json): unknown =>
    resolveConfig({ overrides: { model: { routing: json } } }).model.routing;
  expect(routing({ order: "score-then-select", select: { by: "expert", capacityFactor: 2 } })).toMatchObject({
    experts: 8,
    select: { by: "expert", capacityFactor: 2 },
  });
  expect(routing({ k: 3 })).toMatchObject({ experts: 8, select: { by: "token", k: 3 } });
});

test("a preset's loss that the routing leaves no meaning is dropped, one that is asked for is a mistake", () => {
  const model = { routing: { order: "score-then-select", select: { by: "expert", capacityFactor: 2 } } };
  expect(resolveConfig({ overrides: { model } }).losses).toMatchObject({ balance: { weight: 0 }, z: 0.001 });
  const error = thrownBy(() => resolveConfig({ overrides: { model, losses: { balance: 0.1 } } }));
  expect(error.message).toContain("command line: losses.balance: ");
});

test("a choice of a loss's kind is laid over the preset's weight; what a file leaves out is missing there", () => {
  const { losses } = resolveConfig({
    preset: "small",
    file: file({ losses: { balance: { over: "sequence" } } }),
  });
  expect(losses.balance).toEqual({ weight: 0.02, over: "sequence", of: "softmax" });
  const leftOut = { losses: { importance: { of: "probabilities" } } };
  expect(thrownBy(() => resolveConfig({ file: file(leftOut) })).message).toContain(
    "run.json: losses.importance.weight: ",
  );
  const model = { routing: { experts: 4, select: { by: "expert" } } };
  expect(thrownBy(() => resolveConfig({ file: file({ model }) })).message).toContain(
    "run.json: model.routing.select.capacityFactor: ",
  );
  const bias = { model: { routing: { k: 2, bias: {} } } };
  expect(thrownBy(() => resolveConfig({ file: file(bias) })).message).toContain(
    "run.json: model.routing.bias.kind: ",
  );
});

test("the weight of the balance loss is written as transformers counts it, over K", () => {
  const coefficient = (overrides: Json): unknown => {
    const config = resolveConfig({ overrides });
    return modelOf(config, { vocabSize: 300, bosId: null, eosId: null }, "moe").configJson()
      .router_aux_loss_coef;
  };
  expect(coefficient({ losses: { balance: 0.03 } })).toBe(0.015);
  expect(coefficient({ losses: { balance: 0.03 }, model: { routing: { k: 3 } } })).toBe(0.01);
  expect(coefficient({ losses: { balance: -0.03 } })).toBe(0); // transformers takes no reward
});

test("a domain without experts or priority is named, with the file that leaves it out", () => {
  const texts = [{ domain: "prose" }, { domain: "code" }];
  const labelled = resolveConfig({
    overrides: { model: { routing: { select: { by: "label", table: { prose: [0, 1] } } } } },
  });
  expect(() => checkLabels(labelled, texts, "run.json")).toThrow(
    'run.json: model.routing.select.table: no entry for the domain "code"',
  );
  const routing = { k: 2, capacity: { factor: 1, priority: "given" } };
  const given = (priority: Json) => resolveConfig({ overrides: { model: { routing }, data: { priority } } });
  expect(() => checkPriority(given({ prose: 1 }), texts, "run.json")).toThrow(
    'run.json: data.priority: no number for the domain "code"',
  );
  expect(() => checkPriority(given({ prose: 1, code: 2, poems: 3 }), texts, "run.json")).toThrow(
    'run.json: data.priority: there is no domain "poems"',
  );
  expect(() => checkPriority(given({ prose: 1, code: 2 }), texts, "run.json")).not.toThrow();
  expect(() => given({})).toThrow('"given" takes data.priority');
});

test("a resolved configuration written as JSON is read back the same", () => {
  const config = resolveConfig();
  expect(parseConfig(JSON.parse(JSON.stringify(config)), "run.json")).toEqual(config);
});

test("a short run warms up for half of it, unless told how long", () => {
  const warmup = (overrides: Json): number => resolveConfig({ overrides }).optimizer.warmup;
  expect(warmup({})).toBe(60);
  expect(warmup({ steps: 200 })).toBe(60);
  expect(warmup({ steps: 20 })).toBe(10);
  expect(warmup({ steps: 1 })).toBe(0);
  expect(warmup({ steps: 20, optimizer: { warmup: 15 } })).toBe(15);
  const tooLong = thrownBy(() => warmup({ steps: 20, optimizer: { warmup: 21 } }));
  expect(tooLong.message).toContain("command line: optimizer.warmup: 21 steps of warm-up are more");
});

/** [JSON of the file, what the one-line error says] */
const mistakes: readonly (readonly [unknown, string])[] = [
  [[], "run.json: the file holds no JSON object"],
  [{ stepps: 3 }, "run.json: stepps: unknown key"],
  [{ model: { hedas: 3 } }, "run.json: model.hedas: unknown key"],
  [{ model: { routing: { experts: 4, gatte: 1 } } }, "run.json: model.routing.gatte: unknown key"],
  [{ model: { routing: { k: 9 } } }, "run.json: model.routing.select.k: 9 is more than experts (8)"],
  [{ model: { heads: 5 } }, "run.json: model.width: 128 is not divisible by 5 heads"],
  [{ model: { width: 100, heads: 6 } }, "run.json: model.width: 100 is not divisible by 6 heads"],
  [{ model: { width: 192, heads: 6, kvHeads: 4 } }, "run.json: model.heads: 6 is not divisible by 4 kvHeads"],
  [{ model: { headDim: 7 } }, "run.json: model.headDim: 7 is odd; rotary embedding turns pairs"],
  [{ model: { layers: -1 } }, "run.json: model.layers: Too small"],
  [{ model: { width: 1.5 } }, "run.json: model.width: expected int"],
  [{ model: 3 }, "run.json: model: expected object"],
  [{ steps: "many" }, "run.json: steps: expected number, received string"],
  [
    { steps: 10, optimizer: { warmup: 11 } },
    "run.json: optimizer.warmup: 11 steps of warm-up are more than the run's 10 steps",
  ],
  [{ optimizer: { lr: 1e-5 } }, "run.json: optimizer.minLr: 0.0004 is above lr, 0.00001"],
  [{ optimizer: { betas: [0.9, 1] } }, "run.json: optimizer.betas.1: Too big"],
  [{ precision: "f16" }, 'run.json: precision: Invalid option: expected one of "bf16"|"f32"'],
  [{ data: { heldOutShare: 0.9 } }, "run.json: data.heldOutShare: Too big"],
  [{ data: { vocabSize: 100 } }, "run.json: data.vocabSize: Too small"],
  [JSON.parse('{"__proto__": {"steps": 1}}'), "run.json: __proto__: unknown key"],
  [{ steps: null }, "run.json: steps: expected number, received null"],
];

test.each(mistakes)("%j: one line that names the source and the key", (json, message) => {
  const error = thrownBy(() => resolveConfig({ file: file(json) }));
  expect(error.message).toContain(message);
  expect(error.message).not.toContain("\n");
  expect([error.code, error.exit]).toEqual(["config", 2]);
});

test("a mistake on the command line and an unknown preset are named as such", () => {
  expect(thrownBy(() => resolveConfig({ overrides: { steps: 0 } })).message).toContain(
    "command line: steps: ",
  );
  expect(thrownBy(() => resolveConfig({ preset: "huge" as "small" })).message).toContain(
    "there are small, tiny",
  );
});

function thrownBy(body: () => unknown): ConclaveError {
  try {
    body();
  } catch (error) {
    if (error instanceof ConclaveError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
