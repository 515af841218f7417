import { fail } from "../../errors.ts";
import { AddedTokens, plainToken } from "./added-tokens.ts";
import { readable } from "./byte-level.ts";
import { PieceTable } from "./pieces.ts";
import { concatenate, type TextStream, type Tokenizer } from "./tokenizer.ts";
import { IdList, WordMemory } from "./word-ids.ts";

/** What a piece is; the numbers are those of SentencePiece's model file and of GGUF. */
export const pieceKinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Everything a SentencePiece-style vocabulary is made of. */
export interface SentencePieceParts {
  /** What errors call the vocabulary. */
  readonly name: string;
  /** Text of each id, with "▁" for a space and <0x0A> for a byte. */
  readonly pieces: readonly string[];
  /** The higher, the earlier joined. */
  readonly scores: ArrayLike<number>;
  /** One of {@link pieceKinds} each. */
  readonly kinds: ArrayLike<number>;
  /** Whether a text, also one after a special token, begins with a space of the vocabulary's own. */
  readonly spacePrefix: boolean;
  /** Ids put before and after a text when asked for. */
  readonly around: { readonly before: readonly number[]; readonly after: readonly number[] };
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly endIds: readonly number[];
}

const space = "\u2581";

/** SentencePiece's BPE with byte fallback, as Llama 2 and Mixtral have it. */
export class SentencePieceTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly endIds: readonly number[];
  private readonly parts: SentencePieceParts;
  private readonly table: PieceTable;
  private readonly special: AddedTokens;
  private readonly idOfByte = new Int32Array(256).fill(-1);
  private readonly unknownId: number | undefined;
  private readonly splitsAtSpaces: boolean;
  private readonly memory = new WordMemory((word) =>
    this.table.apply(word, (character) => this.spell(character)),
  );
  private readonly encoder = new TextEncoder();

  constructor(parts: SentencePieceParts) {
    const { pieces, scores, kinds } = parts;
    this.parts = parts;
    this.vocabSize = pieces.length;
    this.bosId = parts.bosId;
    this.eosId = parts.eosId;
    this.endIds = parts.endIds;
    const idOf = new Map<string, number>();
    const special = new Map<string, number>();
    for (const [id, piece] of pieces.entries()) {
      idOf.set(piece, id);
      const kind = kinds[id];
      if (kind === pieceKinds.byte)
        this.idOfByte[
          byteOf(piece) ??
            fail(
              "tokenizer",
              `${parts.name}: the byte token ${id} reads ${JSON.stringify(piece)}`,
              "fetch the file again",
            )
        ] = id;
      if (kind === pieceKinds.unknown) this.unknownId ??= id;
      if (
        piece !== "" &&
        (kind === pieceKinds.control || kind === pieceKinds.unknown || kind === pieceKinds.userDefined)
      )
        special.set(piece, id);
    }
    this.special = new AddedTokens(
      new Map([...special].map(([piece, id]) => [piece, { id, token: plainToken(piece, false) }])),
    );
    this.table = new PieceTable(idOf, scores);
    // Where no piece has a space after another character, the words of a text do not influence each other.
    this.splitsAtSpaces = !pieces.some(
      (piece, id) => kinds[id] === pieceKinds.normal && /[^\u2581]\u2581/.test(piece),
    );
  }

  encode(text: string, { addSpecial = false }: { addSpecial?: boolean } = {}): Int32Array<ArrayBuffer> {
    const { around, spacePrefix } = this.parts;
    const out = new IdList(text.length / 3 + 16);
    if (addSpecial) out.add(around.before);
    let afterText = false;
    for (const { text: piece, id } of this.special.cut(text)) {
      if (id !== undefined) out.add([id]);
      else this.encodeText((spacePrefix && !afterText ? space : "") + piece.replaceAll(" ", space), out);
      afterText = id === undefined;
    }
    if (addSpecial) out.add(around.after);
    return out.ids();
  }

  private encodeText(text: string, out: IdList): void {
    const words = this.splitsAtSpaces ? (text.match(/\u2581*[^\u2581]*/g) ?? []) : [text];
    for (const word of words) if (word !== "") out.add(this.memory.idsOf(word));
  }

  /** A character that is no piece: its bytes where they have tokens, else the token for what is unknown. */
  private spell(character: string): readonly number[] {
    const ids = Array.from(this.encoder.encode(character), (byte) => this.idOfByte[byte]!);
    if (!ids.includes(-1)) return ids;
    return [
      this.unknownId ?? fail("tokenizer", `${this.parts.name} has no token for ${JSON.stringify(character)}`),
    ];
  }

  decode(ids: ArrayLike<number>, { skipSpecial = false }: { skipSpecial?: boolean } = {}): string {
    const kept = Array.from(ids).filter((id) => !(skipSpecial && this.isSpecial(id)));
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(
      concatenate(kept.map((id) => this.bytes(id))),
    );
    return this.parts.spacePrefix && text.startsWith(" ") ? text.slice(1) : text;
  }

  private isSpecial(id: number): boolean {
    const kind = this.parts.kinds[id];
    return kind === pieceKinds.control || kind === pieceKinds.unknown;
  }

  bytes(id: number): Uint8Array {
    const piece = this.parts.pieces[id];
    if (piece === undefined) return new Uint8Array(0); // models often have more rows than their tokenizer has tokens
    const kind = this.parts.kinds[id];
    if (kind === pieceKinds.byte) return Uint8Array.of(byteOf(piece)!);
    return this.encoder.encode(kind === pieceKinds.normal ? piece.replaceAll(space, " ") : piece);
  }

  token(id: number): string {
    return readable(this.bytes(id));
  }

  stream(after: readonly number[] = []): TextStream {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    const last = after.at(-1);
    let begins = this.parts.spacePrefix && (last === undefined || this.isSpecial(last));
    const settle = (text: string): string => {
      if (!begins || text === "") return text;
      begins = false;
      return text.startsWith(" ") ? text.slice(1) : text;
    };
    return {
      push: (id) => settle(decoder.decode(this.bytes(id), { stream: true })),
      end: () => settle(decoder.decode()),
    };
  }
}

/** <0x0A> is 10. */
function byteOf(piece: string): number | undefined {
  const match = /^<0x([0-9A-Fa-f]{2})>$/.exec(piece);
  return match ? Number.parseInt(match[1]!, 16) : undefined;
}
