import {
  type CountedPrecision,
  type ParameterCounts,
  parameterCounts,
  parts,
  precisions,
  weightBytes,
} from "../models/counts.ts";
import { findPublished, publishedNames } from "../models/published.ts";
import { type CountRange, countRumour, countShape, type RumouredShape } from "../models/shape.ts";
import { bytes, print, printJson, short, table } from "./output.ts";

interface Counted extends CountRange {
  readonly title: string;
  /** What the ends of the range take for granted; null: they are one. */
  readonly bounds: RumouredShape["bounds"] | null;
}

/** Does what `conclave params` was asked. */
export async function runParams(model: string, options: { json?: boolean }): Promise<void> {
  const counted = await count(model);
  if (options.json) showJson(counted);
  else show(counted);
}

const published = `give a model folder, or the name of a published model: ${publishedNames.join(", ")}`;

async function count(model: string): Promise<Counted> {
  const shape = findPublished(model);
  if (shape?.kind === "rumour") return { ...shape, ...countRumour(shape) };
  const counts = shape ? countShape(shape) : await countFolder(model);
  return { title: shape?.title ?? model, low: counts, high: counts, bounds: null };
}

/** The families and readers are loaded only for a model that has to be read. */
async function countFolder(model: string): Promise<ParameterCounts> {
  const [{ describeModel }, { resolveModel }] = await Promise.all([
    import("../models/index.ts"),
    import("./resolve-model.ts"),
  ]);
  const path = model.endsWith(".json") ? model : await resolveModel(model, published);
  return parameterCounts(await describeModel(path));
}

function showJson({ title, low, high, bounds }: Counted): void {
  const withBytes = (counts: ParameterCounts) => ({ ...counts, bytes: weightBytes(counts) });
  if (!bounds) printJson({ model: title, ...withBytes(low) });
  else printJson({ model: title, bounds, ...ranges(withBytes(low), withBytes(high)) });
}

interface Tree {
  readonly [key: string]: number | Tree;
}

/** Two records of one shape as one: each number becomes {low, high}. */
function ranges<T extends object>(low: T, high: T): Tree {
  const pairs = Object.entries(low).map(([key, value]) => {
    const other = high[key as keyof T];
    return [key, typeof value === "number" ? { low: value, high: other } : ranges(value, other as object)];
  });
  return Object.fromEntries(pairs);
}

function show({ title, low, high, bounds }: Counted): void {
  /** A number of both ends: "1.25 T to 1.76 T", or once if it reads the same. */
  const range = (write: (counts: ParameterCounts) => string): string => {
    const [from, to] = [write(low), write(high)];
    return from === to ? from : `${from} to ${to}`;
  };
  const total = range((counts) => short(counts.total));
  const active = range((counts) => short(counts.active));
  print(`${title}: ${total} parameters, ${active} active a token`);
  if (bounds) print(`  low:  ${bounds.low}\n  high: ${bounds.high}`);
  const multiplied = range((counts) => short(counts.activeWithoutEmbedding));
  if (multiplied !== active)
    print(`(${multiplied} active without the input embedding, of which a token reads one row)`);
  print("");
  const used = parts.filter((part) => high.byPart[part].total > 0);
  const rows = used.map((part) => [
    part,
    range(({ byPart }) => short(byPart[part].total)),
    range(({ byPart }) => short(byPart[part].active)),
    range((counts) => `${((100 * counts.byPart[part].total) / counts.total).toFixed(1)} %`),
  ]);
  print(table(["part", "total", "active", "share"], rows));
  print("");
  const sizes = (Object.keys(precisions) as CountedPrecision[]).map((precision) => [
    precision,
    range((counts) => bytes(weightBytes(counts)[precision].resident)),
    range((counts) => bytes(weightBytes(counts)[precision].active)),
  ]);
  print(table(["weights at", "all experts in memory", "active only"], sizes));
}
