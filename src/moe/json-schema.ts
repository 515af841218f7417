import { z } from "zod";
import { lossSpecSchema } from "./loss-spec.ts";
import { routingSpecSchema } from "./schema.ts";
import { simulationSchema } from "./simulate.ts";

/**
 * What a routing spec, a loss spec and the simulator's input may be, as JSON Schema (draft 2020-12) for other languages and for editors. It is
 * made from the schemas that the code reads by. What fields mean to each other (a k above `experts`) is beyond it: `parseRoutingSpec` checks that too.
 */
export type JsonSchema = { readonly [key: string]: unknown };

const site = "https://json-schema.org/draft/2020-12/schema";

/** A routing spec, short forms included. */
export function routingJsonSchema(): JsonSchema {
  const { properties, ...schema } = schemaOf(routingSpecSchema) as { properties: Record<string, JsonSchema> };
  const { $schema: _, ...rest } = schema as JsonSchema;
  return {
    $schema: site,
    title: "Routing spec: how tokens find experts",
    ...rest,
    properties: {
      ...Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, withShortForm(value)])),
      k: {
        type: "integer",
        minimum: 1,
        description: 'Short for "select": { "by": "token", "k": ... }, or the k beside it.',
      },
      normalise: { anyOf: [{ type: "boolean" }, properties.normalise] },
    },
    required: ["experts"],
    anyOf: [{ required: ["select"] }, { required: ["k"] }],
  };
}

/** A loss spec, where a weight may stand for a loss with its usual choices. */
export function lossJsonSchema(): JsonSchema {
  const { properties, ...schema } = schemaOf(lossSpecSchema) as { properties: Record<string, JsonSchema> };
  const numberToo = (value: JsonSchema): JsonSchema =>
    value.type === "object" ? { anyOf: [{ type: "number" }, value] } : value;
  return {
    ...schema,
    title: "Loss spec: what a router is trained with",
    properties: Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, numberToo(value)])),
  };
}

/** What `conclave route --logits` reads. */
export function simulationJsonSchema(): JsonSchema {
  const schema = schemaOf(simulationSchema) as { properties: Record<string, JsonSchema> };
  const { $schema: _, ...losses } = lossJsonSchema();
  return { ...schema, title: "Input of the routing simulator", properties: { ...schema.properties, losses } };
}

function schemaOf(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
}

/** Where a variant needs nothing but its `kind`, the kind alone may stand for it: found from the variants themselves. */
function withShortForm(schema: JsonSchema): JsonSchema {
  const options = (schema.anyOf ?? [schema]) as readonly JsonSchema[];
  const kinds = options.flatMap((option) =>
    ((option.oneOf ?? [option]) as readonly JsonSchema[]).flatMap((variant) => {
      const { kind } = (variant.properties ?? {}) as { kind?: { const?: string } };
      return kind?.const !== undefined && String(variant.required) === "kind" ? [kind.const] : [];
    }),
  );
  if (kinds.length === 0) return schema;
  const { default: usual, ...rest } = schema;
  const short = { enum: kinds };
  const either =
    "anyOf" in rest ? { ...rest, anyOf: [short, ...(rest.anyOf as JsonSchema[])] } : { anyOf: [short, rest] };
  return usual === undefined ? either : { ...either, default: usual };
}
