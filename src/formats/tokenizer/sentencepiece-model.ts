/** tokenizer.model, SentencePiece's own file: a protocol buffer, sentencepiece_model.proto. */
import { fail } from "../../errors.ts";
import { pieceKinds } from "./sentencepiece.ts";

/** What is read of a tokenizer.model. */
export interface SentencePieceModel {
  /** By id. */
  readonly pieces: readonly Piece[];
  readonly bosId: number;
  readonly eosId: number;
  /** Whether a text begins with a space of the vocabulary's own. */
  readonly addsPrefix: boolean;
}

export interface Piece {
  readonly text: string;
  readonly score: number;
  /** One of {@link pieceKinds}. */
  readonly kind: number;
}

/** Errors: "tokenizer" for a damaged file, and for a vocabulary that is no BPE or changes texts before it cuts them. */
export function readSentencePieceModel(bytes: Uint8Array, name: string): SentencePieceModel {
  if (tiktokenLine.test(String.fromCharCode(...bytes.subarray(0, 200))))
    fail(
      "tokenizer",
      `${name} is a list of tiktoken's, not a SentencePiece model: it says neither how text is split nor what special tokens there are`,
      "put the model's tokenizer.json beside it; of Llama 3 it is in the folder above original/",
    );
  if (bytes.length > mostBytes)
    fail(
      "tokenizer",
      `${name} is no SentencePiece model: it has ${bytes.length} bytes`,
      "fetch the file again",
    );
  const model = new Message(bytes, name);
  const pieces = model.all(1).map((bytes) => {
    const piece = new Message(bytes, name);
    return { text: piece.text(1), score: piece.float(2), kind: piece.int(3, pieceKinds.normal) };
  });
  if (pieces.length === 0) fail("tokenizer", `${name} holds no pieces`, "fetch the file again");
  const part = (field: number): Message => new Message(model.all(field).at(-1) ?? new Uint8Array(0), name);
  const [trainer, normaliser] = [part(2), part(3)];
  checkSupported(trainer, normaliser, name);
  return {
    pieces,
    bosId: trainer.int(41, 1),
    eosId: trainer.int(42, 2),
    addsPrefix: normaliser.int(3, 1) === 1,
  };
}

/** A token's bytes in base64, and its rank. */
const tiktokenLine = /^[A-Za-z0-9+/]+={0,2} \d+\r?\n/;

/** Bytes of a tokenizer.model, of which a quarter of a million pieces take 5 MB: what a damaged one unfolds to stays bounded. */
const mostBytes = 2 ** 25;

const bpe = 2;

/** What SentencePiece can do and Llama's vocabularies do not ask for. */
function checkSupported(trainer: Message, normaliser: Message, name: string): void {
  const faults = [
    [trainer.int(3, 1) !== bpe, "is no BPE"],
    [trainer.int(24, 0) === 1, "puts spaces after words"],
    [(normaliser.all(2)[0]?.length ?? 0) > 0, "normalises characters"],
    [normaliser.int(4, 1) === 1, "removes spaces"],
    [normaliser.int(5, 1) !== 1, "does not mark spaces"],
  ] as const;
  const fault = faults.find(([is]) => is);
  if (fault)
    fail(
      "tokenizer",
      `${name}: the vocabulary ${fault[1]}, which is read from a tokenizer.json only`,
      "convert it: transformers' AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes one",
    );
}

/** The fields of a protocol buffer's message, by number. */
class Message {
  private readonly fields = new Map<number, (number | Uint8Array)[]>();
  private readonly bytes: Uint8Array;
  private readonly name: string;
  private at = 0;

  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    while (this.at < bytes.length) {
      const tag = this.varint();
      const field = Math.floor(tag / 8);
      const value = this.value(tag % 8);
      const same = this.fields.get(field);
      if (same) same.push(value);
      else this.fields.set(field, [value]);
    }
  }

  all(field: number): Uint8Array[] {
    return (this.fields.get(field) ?? []).map((value) =>
      typeof value === "number" ? this.damaged() : value,
    );
  }

  int(field: number, absent: number): number {
    const value = this.fields.get(field)?.at(-1) ?? absent;
    return typeof value === "number" ? value | 0 : this.damaged();
  }

  float(field: number): number {
    const bytes = this.all(field).at(-1);
    if (bytes === undefined) return 0;
    return bytes.length === 4 ? new DataView(bytes.slice().buffer).getFloat32(0, true) : this.damaged();
  }

  text(field: number): string {
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.all(field).at(-1)); // a piece may be U+FEFF
  }

  /** By its wire type: 0 a number, 1 and 5 eight and four bytes, 2 bytes with their length before them. */
  private value(wire: number): number | Uint8Array {
    if (wire === 0) return this.varint();
    const length = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? this.varint() : this.damaged();
    if (this.at + length > this.bytes.length) this.damaged();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  /** Of numbers beyond 32 bits, such as negative ones, the lower 32. */
  private varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.bytes[this.at++] ?? this.damaged();
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    return this.damaged();
  }

  private damaged(): never {
    return fail("tokenizer", `${this.name} is no SentencePiece model, or damaged`, "fetch the file again");
  }
}
