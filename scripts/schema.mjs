// Writes the JSON Schemas of routing/ from the schemas that the code reads by. Run it after a change of them; a test compares.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { lossJsonSchema, routingJsonSchema, simulationJsonSchema } from "../dist/moe/index.js";
import { root } from "./install.mjs";

for (const [name, schema] of [
  ["routing-spec", routingJsonSchema()],
  ["loss-spec", lossJsonSchema()],
  ["simulation-input", simulationJsonSchema()],
])
  writeFileSync(join(root, "routing", `${name}.schema.json`), `${JSON.stringify(schema, null, 2)}\n`);
