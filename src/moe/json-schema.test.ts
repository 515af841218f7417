import { readdirSync, readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { lossJsonSchema, routingJsonSchema, simulationJsonSchema } from "./json-schema.ts";
import { parseRoutingSpec } from "./schema.ts";

/** The published JSON Schemas are those of the code, and a validator of another make reads specs by them as the code does. */

const folder = new URL("../../routing/", import.meta.url);
const published = (name: string): unknown => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false });
const isSpec = ajv.compile(routingJsonSchema());
const isLosses = ajv.compile(lossJsonSchema());
const isInput = ajv.compile(simulationJsonSchema());

test("routing/*.schema.json are what npm run schema writes now", () => {
  expect(published("routing-spec.schema.json")).toEqual(routingJsonSchema());
  expect(published("loss-spec.schema.json")).toEqual(lossJsonSchema());
  expect(published("simulation-input.schema.json")).toEqual(simulationJsonSchema());
});

test("every published vector's spec and input are valid, as given and as completed", () => {
  for (const name of readdirSync(new URL("vectors/", folder))) {
    const { vectors } = published(`vectors/${name}`) as {
      vectors: { name: string; spec: object; input: object }[];
    };
    for (const vector of vectors) {
      expect(isSpec(vector.spec), `${vector.name}: ${ajv.errorsText(isSpec.errors)}`).toBe(true);
      expect(isSpec(parseRoutingSpec(vector.spec)), vector.name).toBe(true);
      expect(isInput(vector.input), `${vector.name}: ${ajv.errorsText(isInput.errors)}`).toBe(true);
    }
  }
});

test.each<[string, object]>([
  ["an unknown key", { experts: 8, k: 2, epxerts: 1 }],
  ["no experts", { k: 2 }],
  ["nobody who selects", { experts: 8 }],
  ["an unknown way to select", { experts: 8, select: { by: "chance" } }],
  ["a short form of what needs more", { experts: 8, k: 2, gate: "hash" }],
  ["a negative factor", { experts: 8, k: 2, capacity: { factor: -1 } }],
  ["an unknown kind of noise", { experts: 8, k: 2, noise: "white" }],
])("%s is refused by the schema and by the code", (_, spec) => {
  expect(isSpec(spec)).toBe(false);
  expect(() => parseRoutingSpec(spec)).toThrow();
});

test("short forms are valid", () => {
  const spec = {
    experts: 8,
    k: 2,
    gate: "cosine",
    noise: "gaussian",
    bias: "selection-only",
    normalise: true,
  };
  expect(isSpec(spec), ajv.errorsText(isSpec.errors)).toBe(true);
  expect(isLosses({ balance: 0.01, importance: { weight: 0.1, of: "probabilities" } })).toBe(true);
  expect(isLosses({ balance: { over: "sequence" } })).toBe(false);
});
