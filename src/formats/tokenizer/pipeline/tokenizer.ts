import { type AddedToken, AddedTokens, type Section } from "../added-tokens.ts";
import { readable, surfaceToBytes, wellFormed } from "../byte-level.ts";
import type { TextStream, Tokenizer } from "../tokenizer.ts";
import { IdList, WordMemory } from "../word-ids.ts";
import { byteOf, chain, type Decoder, type DecoderStep, spaceCleaner } from "./decoders.ts";
import type { Normalizer } from "./normalizers.ts";
import type { PreTokenizer } from "./pre-tokenizers.ts";
import type { Model } from "./vocabulary.ts";

/** Everything a tokenizer.json is made of. */
export interface PipelineParts {
  /** What errors call the tokenizer. */
  readonly name: string;
  readonly normalizer: Normalizer | undefined;
  readonly preTokenizer: PreTokenizer | undefined;
  readonly model: Model;
  readonly decoders: readonly Decoder[];
  /** Added tokens by id. */
  readonly added: ReadonlyMap<number, AddedToken>;
  /** Ids put before and after a text when asked for. */
  readonly around: { readonly before: readonly number[]; readonly after: readonly number[] };
  /** Whether special tokens in a text are text like any other. */
  readonly splitSpecial: boolean;
  /** Whether decoding drops spaces before signs. */
  readonly cleanUpSpaces: boolean;
  /** Whether token surfaces are written in the byte alphabet. */
  readonly byteLevel: boolean;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly endIds: readonly number[];
}

/** Any tokenizer.json: normalizer, pre-tokenizer, model and decoder, one after another, as Hugging Face's tokenizers runs them. */
export class PipelineTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly endIds: readonly number[];
  private readonly parts: PipelineParts;
  /** The text of each id as the decoder takes it; undefined where an id is not used. */
  private readonly surfaces: (string | undefined)[] = [];
  private readonly specialTexts: ReadonlySet<string>;
  private readonly written: AddedTokens;
  private readonly normalized: AddedTokens;
  private readonly memory: WordMemory;

  constructor(parts: PipelineParts) {
    this.parts = parts;
    this.bosId = parts.bosId;
    this.eosId = parts.eosId;
    this.endIds = parts.endIds;
    for (const [text, id] of parts.model.ids) this.surfaces[id] = text;
    const [written, normalized] = [new Map<string, Entry>(), new Map<string, Entry>()];
    for (const [id, token] of parts.added) {
      const text = token.normalized
        ? (parts.normalizer?.({ text: token.content, first: true }).text ?? token.content)
        : token.content;
      this.surfaces[id] = text;
      if (!(token.special && parts.splitSpecial))
        (token.normalized ? normalized : written).set(text, { id, token });
    }
    this.vocabSize = this.surfaces.length;
    this.specialTexts = new Set(
      [...parts.added.values()].filter(({ special }) => special).map(({ content }) => content),
    );
    this.written = new AddedTokens(written);
    this.normalized = new AddedTokens(normalized);
    this.memory = new WordMemory((word) => Int32Array.from(parts.model.encode(word)));
  }

  encode(text: string, { addSpecial = false }: { addSpecial?: boolean } = {}): Int32Array<ArrayBuffer> {
    const { around } = this.parts;
    const out = new IdList(text.length / 3 + 16);
    if (addSpecial) out.add(around.before);
    for (const section of this.written.cut(wellFormed(text)))
      if (section.id === undefined) this.encodeSection(section, out);
      else out.add([section.id]);
    if (addSpecial) out.add(around.after);
    return out.ids();
  }

  private encodeSection(section: Section, out: IdList): void {
    const { normalizer, preTokenizer } = this.parts;
    const given = { text: section.text, first: section.at === 0 };
    const { text, first } = normalizer ? normalizer(given) : given;
    for (const part of this.normalized.cut(text)) {
      if (part.id !== undefined) {
        out.add([part.id]);
        continue;
      }
      const piece = { text: part.text, first: first && part.at === 0 };
      for (const word of preTokenizer ? preTokenizer([piece]) : [piece])
        out.add(this.memory.idsOf(word.text));
    }
  }

  decode(ids: ArrayLike<number>, { skipSpecial = false }: { skipSpecial?: boolean } = {}): string {
    const decoder = new IdDecoder(this.steps(false));
    let text = "";
    for (let i = 0; i < ids.length; i++) {
      const surface = this.surfaces[ids[i]!];
      if (surface !== undefined && !(skipSpecial && this.specialTexts.has(surface)))
        text += decoder.push(surface);
    }
    return text + decoder.end();
  }

  private steps(begun: boolean): DecoderStep {
    const { decoders, cleanUpSpaces } = this.parts;
    return chain(cleanUpSpaces ? [...decoders, spaceCleaner] : decoders, begun);
  }

  bytes(id: number): Uint8Array {
    const surface = this.surfaces[id];
    const encoder = new TextEncoder();
    if (surface === undefined) return new Uint8Array(0);
    if (this.parts.byteLevel) return surfaceToBytes(surface) ?? encoder.encode(surface);
    if (this.parts.added.has(id)) return encoder.encode(surface);
    const byte = byteOf(surface);
    return byte === undefined ? encoder.encode(surface.replaceAll("\u2581", " ")) : Uint8Array.of(byte);
  }

  token(id: number): string {
    return readable(this.bytes(id));
  }

  stream(after: readonly number[] = []): TextStream {
    const begun = after.some((id) => !this.parts.added.get(id)?.special);
    const decoder = new IdDecoder(this.steps(begun));
    return {
      push: (id) => {
        const surface = this.surfaces[id];
        return surface === undefined ? "" : decoder.push(surface);
      },
      end: () => decoder.end(),
    };
  }
}

interface Entry {
  readonly id: number;
  readonly token: AddedToken;
}

/** The text of surfaces that come one by one. */
class IdDecoder {
  private readonly steps: DecoderStep;
  private text = "";
  private readonly out = (chunk: string): void => {
    this.text += chunk;
  };

  constructor(steps: DecoderStep) {
    this.steps = steps;
  }

  push(surface: string): string {
    this.steps.push(surface, true, this.out);
    return this.take();
  }

  end(): string {
    this.steps.end(this.out);
    return this.take();
  }

  private take(): string {
    const { text } = this;
    this.text = "";
    return text;
  }
}
