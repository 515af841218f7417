import { fail } from "../../errors.ts";
import type { GgufStore, StoredTensor } from "../../formats/index.ts";

/**
 * The metadata of one architecture, read key by key. Keys under the architecture's own prefix that nobody asked for are an error:
 * they may change what the model computes. Errors: "model", naming the file and the key.
 */
export class ArchitectureKeys {
  /** What errors call the file. */
  readonly source: string;
  readonly architecture: string;
  private readonly store: GgufStore;
  private readonly asked = new Set<string>();

  constructor(store: GgufStore, source: string) {
    this.store = store;
    this.source = source;
    refuseOtherKinds(store, source);
    this.architecture =
      store.gguf.string("general.architecture") ??
      fail(
        "model",
        `${source}: the metadata has no general.architecture`,
        "use a GGUF file of a whole language model",
      );
  }

  /** A whole number of 1 or more. */
  size(key: string): number {
    return this.checkedSize(key, this.needed(key));
  }

  sizeIfThere(key: string): number | undefined {
    const value = this.numberIfThere(key);
    return value === undefined ? undefined : this.checkedSize(key, value);
  }

  /** A whole number of 0 or more. */
  countIfThere(key: string): number | undefined {
    const value = this.numberIfThere(key);
    return value === 0 || value === undefined ? value : this.checkedSize(key, value);
  }

  numberIfThere(key: string): number | undefined {
    return this.store.gguf.number(this.full(key));
  }

  booleanIfThere(key: string): boolean | undefined {
    return this.store.gguf.boolean(this.full(key));
  }

  stringIfThere(key: string): string | undefined {
    return this.store.gguf.string(this.full(key));
  }

  /** The id of a token that has a part to play, such as "eos". */
  token(role: string): number | undefined {
    return this.store.gguf.number(`tokenizer.ggml.${role}_token_id`);
  }

  hasTensor(name: string): boolean {
    return this.store.tensors.has(name);
  }

  tensor(name: string): StoredTensor {
    return (
      this.store.tensors.get(name) ??
      fail("model", `${this.source} has no tensor ${name}`, "fetch or convert the file again")
    );
  }

  /** Marks keys that change nothing. */
  pass(...keys: readonly string[]): void {
    for (const key of keys) this.full(key);
  }

  refuse(key: string, what: string): never {
    return fail("model", `${this.source}: ${this.architecture}.${key}: ${what}`);
  }

  /** Throws where a key of the architecture was not asked for. */
  finish(): void {
    const prefix = `${this.architecture}.`;
    for (const key of this.store.gguf.keys()) {
      if (key.startsWith(prefix) && !this.asked.has(key))
        this.refuse(key.slice(prefix.length), "this key is not known");
    }
  }

  private full(key: string): string {
    const whole = `${this.architecture}.${key}`;
    this.asked.add(whole);
    return whole;
  }

  private needed(key: string): number {
    return this.numberIfThere(key) ?? this.refuse(key, "the metadata has no such key");
  }

  private checkedSize(key: string, value: number): number {
    if (!Number.isSafeInteger(value) || value < 1)
      this.refuse(key, `${value} is no whole number of 1 or more`);
    return value;
  }
}

/** What a GGUF file may hold besides a language model, by its general.type or, of image encoders, its architecture. */
const otherKinds: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  mmproj: [
    "is the image or audio encoder of a multimodal model (mmproj), not a language model",
    "give the model's own .gguf file, which lies beside it; images are not read",
  ],
  imatrix: [
    "is an importance matrix, which is for quantising a model, and holds none",
    "give the model's own .gguf file",
  ],
  adapter: [
    "is a LoRA adapter, not a model",
    "merge it into its model (llama-export-lora) and give the result",
  ],
};

function refuseOtherKinds({ gguf }: GgufStore, source: string): void {
  const type = gguf.string("general.type") ?? "";
  const isEncoder = gguf.string("general.architecture") === "clip";
  const kind = otherKinds[isEncoder ? "mmproj" : type];
  if (kind) fail("model", `${source} ${kind[0]}`, kind[1]);
}
