import type { Tokenizer } from "../formats/index.ts";
import type { Decoder } from "../models/index.ts";
import type { LayerFigures } from "../moe/index.ts";
import { context, type Precision, scope, tensor } from "../tensor/index.ts";
import { balanceOf, type CollectedPass, RouteCollector } from "./collect.ts";
import type { Passage } from "./report/data.ts";
import { type LayerChoices, type Specialisation, Specialist } from "./specialise.ts";

/** Text to look at: its tokens, and the domain it is from. */
export interface TextToInspect {
  readonly domain: string;
  readonly ids: Int32Array;
  /** What routing by label is told of its tokens. */
  readonly label?: string;
}

export interface AnalyseOptions {
  readonly tokenizer: Tokenizer;
  /** Tokens a pass; longer texts are read in windows of so many. */
  readonly window: number;
  /** Tokens of each text that are shown one by one. */
  readonly passageTokens: number;
  readonly precision?: Precision;
}

/** Where the tokens of some texts go in a model. */
export interface Analysis {
  /** The number of the block that each layer below stands in. */
  readonly layerNumbers: readonly number[];
  readonly specialisation: Specialisation;
  readonly layers: readonly LayerFigures[];
  /** One a text: its first tokens. */
  readonly passages: readonly Passage[];
}

/**
 * Runs the model over the texts and says what its routers did. Blocks without experts do not appear.
 * T tokens.
 */
export async function analyse(
  model: Decoder,
  texts: readonly TextToInspect[],
  options: AnalyseOptions,
): Promise<Analysis> {
  const { tokenizer, window, passageTokens } = options;
  const domains = [...new Set(texts.map(({ domain }) => domain))];
  const specialist = new Specialist(domains, (id) => textOf(tokenizer, id));
  const figures: CollectedPass["figures"][] = [];
  let layerNumbers: readonly number[] = [];
  const passages: Passage[] = [];
  for (const { domain, ids, label } of texts) {
    const shown: CollectedPass["choices"][] = [];
    for (let start = 0; start < ids.length; start += window) {
      const ids_T = ids.subarray(start, start + window);
      const pass = await route(model, ids_T, label, options.precision);
      figures.push(pass.figures);
      layerNumbers = pass.layers;
      specialist.add(ids_T, new Int32Array(ids_T.length).fill(domains.indexOf(domain)), pass.choices);
      if (start < passageTokens) shown.push(pass.choices);
    }
    if (shown.length > 0) passages.push(passageOf(domain, ids.subarray(0, passageTokens), shown, tokenizer));
  }
  return { layerNumbers, specialisation: specialist.result(), layers: balanceOf(figures), passages };
}

async function route(
  model: Decoder,
  ids_T: Int32Array,
  label: string | undefined,
  precision: Precision | undefined,
): Promise<CollectedPass> {
  const collector = new RouteCollector();
  const { device } = model.embedding.weight.value;
  const labels = label === undefined ? undefined : new Array<string>(ids_T.length).fill(label);
  scope(() => {
    const ids_BS = tensor(device, Int32Array.from(ids_T), [1, ids_T.length]);
    model.hidden(ids_BS, context({ precision, tap: collector.tap }), { labels });
  });
  return await collector.take();
}

/** The first tokens of a text, which were read in `passes`. */
function passageOf(
  name: string,
  ids_T: Int32Array,
  passes: readonly CollectedPass["choices"][],
  tokenizer: Tokenizer,
): Passage {
  const routes = passes[0].map((_, layer) =>
    passes.flatMap((choices) => picksByToken(choices[layer])).slice(0, ids_T.length),
  );
  return { name, tokens: surfaces(ids_T, tokenizer), routes };
}

function picksByToken({ k, ids_TK, weights_TK }: LayerChoices): [expert: number, weight: number][][] {
  return Array.from({ length: ids_TK.length / k }, (_, t) => {
    const picks: [number, number][] = [];
    for (let p = t * k; p < (t + 1) * k; p++)
      if (ids_TK[p] >= 0 || weights_TK[p] > 0) picks.push([ids_TK[p], weights_TK[p]]);
    return picks;
  });
}

/** The text of each token as it reads in place; a character spread over tokens stands with the one that completes it. */
function surfaces(ids_T: Int32Array, tokenizer: Tokenizer): string[] {
  const stream = tokenizer.stream();
  const texts = Array.from(ids_T, (id) => stream.push(id));
  texts[texts.length - 1] += stream.end();
  return texts;
}

/** A token's own text: as it is where it is whole characters, else in a form for people. */
function textOf(tokenizer: Tokenizer, id: number): string {
  const text = new TextDecoder().decode(tokenizer.bytes(id));
  return text.includes("\ufffd") ? tokenizer.token(id) : text;
}
