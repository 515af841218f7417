import type { Tokenizer } from "../formats/index.ts";
import type { Decoder } from "../models/index.ts";
import { context, type Precision, scope, tensor } from "../tensor/index.ts";
import { balanceOf, type CollectedPass, type LayerBalance, RouteCollector } from "./collect.ts";
import type { Passage } from "./report/data.ts";
import { type LayerChoices, type Specialisation, Specialist } from "./specialise.ts";

/** Text to look at: its tokens, and the domain it is from. */
export interface TextToInspect {
  readonly domain: string;
  readonly ids: Int32Array;
}

export interface AnalyseOptions {
  readonly tokenizer: Tokenizer;
  /** Tokens a pass; longer texts are read in windows of so many. */
  readonly window: number;
  /** Tokens of each text that are shown one by one. */
  readonly passageTokens: number;
  readonly precision?: Precision;
  /** Whether routing needs to know each token's domain (routing by label). */
  readonly labelled?: boolean;
}

/** Where the tokens of some texts go in a model. */
export interface Analysis {
  readonly specialisation: Specialisation;
  readonly layers: readonly LayerBalance[];
  /** One a text: its first tokens. */
  readonly passages: readonly Passage[];
}

/**
 * Runs the model over the texts and says what its routers did. Layers without experts do not appear.
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
  const passes: CollectedPass[] = [];
  const passages: Passage[] = [];
  for (const { domain, ids } of texts) {
    for (let start = 0; start < ids.length; start += window) {
      const ids_T = ids.subarray(start, start + window);
      const pass = await route(model, ids_T, domain, options);
      passes.push(pass);
      specialist.add(ids_T, new Int32Array(ids_T.length).fill(domains.indexOf(domain)), pass.choices);
      if (start === 0)
        passages.push(passageOf(domain, ids_T.subarray(0, passageTokens), pass.choices, tokenizer));
    }
  }
  return { specialisation: specialist.result(), layers: balanceOf(passes), passages };
}

async function route(
  model: Decoder,
  ids_T: Int32Array,
  domain: string,
  options: AnalyseOptions,
): Promise<CollectedPass> {
  const collector = new RouteCollector();
  const { device } = model.embedding.weight.value;
  const labels = options.labelled ? new Array<string>(ids_T.length).fill(domain) : undefined;
  scope(() => {
    const ids_BS = tensor(device, Int32Array.from(ids_T), [1, ids_T.length]);
    model.hidden(ids_BS, context({ precision: options.precision, tap: collector.tap }), { labels });
  });
  return await collector.take();
}

function passageOf(
  name: string,
  ids_T: Int32Array,
  choices: readonly LayerChoices[],
  tokenizer: Tokenizer,
): Passage {
  const routes = choices.map(({ k, ids_TK, weights_TK }) =>
    Array.from(ids_T, (_, t) => {
      const picks: [number, number][] = [];
      for (let p = t * k; p < (t + 1) * k; p++)
        if (ids_TK[p] >= 0 || weights_TK[p] > 0) picks.push([ids_TK[p], weights_TK[p]]);
      return picks;
    }),
  );
  return { name, tokens: surfaces(ids_T, tokenizer), routes };
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
