/** The key-value pairs of a GGUF file. Arrays stay bytes until they are asked for: a vocabulary is long. */
import { fail } from "../../errors.ts";
import { Cursor, type Damaged } from "./cursor.ts";
import { type GgufValueType, valueBytes, valueTypes } from "./types.ts";

/** Whole numbers beyond 2^53 are bigints. */
export type GgufValue = string | number | bigint | boolean | GgufArray;

const deepest = 4;

/** An array of a GGUF file, checked but not decoded. */
export class GgufArray {
  /** Of its elements. */
  readonly type: GgufValueType;
  readonly length: number;
  private readonly bytes: Uint8Array<ArrayBuffer>;
  private readonly what: string;
  private readonly damaged: Damaged;

  constructor(
    type: GgufValueType,
    length: number,
    bytes: Uint8Array<ArrayBuffer>,
    what: string,
    damaged: Damaged,
  ) {
    this.type = type;
    this.length = length;
    this.bytes = bytes;
    this.what = what;
    this.damaged = damaged;
  }

  /** Its elements, decoded anew at each call. Errors: file-damaged, where a string is not UTF-8. */
  values(): GgufValue[] {
    const cursor = new Cursor(this.bytes, 0, this.bytes.length, this.damaged);
    return Array.from({ length: this.length }, () => readValue(cursor, this.type, this.what, this.damaged));
  }
}

/** Reads the type and the value of `key`. */
export function readTyped(cursor: Cursor, key: string, damaged: Damaged): GgufValue {
  const what = `the value of ${JSON.stringify(key)}`;
  return readValue(cursor, readType(cursor, what, damaged), what, damaged);
}

function readType(cursor: Cursor, what: string, damaged: Damaged): GgufValueType {
  const id = cursor.u32(`the type of ${what}`);
  return valueTypes[id] ?? damaged(`${what} has the unknown type ${id}`);
}

function readValue(cursor: Cursor, type: GgufValueType, what: string, damaged: Damaged): GgufValue {
  const length = valueBytes[type];
  switch (type) {
    case "string":
      return cursor.string(what);
    case "array":
      return readArray(cursor, what, damaged);
    case "bool": {
      const value = cursor.scalar(length, what, (view, at) => view.getUint8(at));
      return value <= 1 ? value === 1 : damaged(`${what} is the bool ${value}, neither 0 nor 1`);
    }
    case "u8":
      return cursor.scalar(length, what, (view, at) => view.getUint8(at));
    case "i8":
      return cursor.scalar(length, what, (view, at) => view.getInt8(at));
    case "u16":
      return cursor.scalar(length, what, (view, at) => view.getUint16(at, true));
    case "i16":
      return cursor.scalar(length, what, (view, at) => view.getInt16(at, true));
    case "u32":
      return cursor.scalar(length, what, (view, at) => view.getUint32(at, true));
    case "i32":
      return cursor.scalar(length, what, (view, at) => view.getInt32(at, true));
    case "f32":
      return cursor.scalar(length, what, (view, at) => view.getFloat32(at, true));
    case "f64":
      return cursor.scalar(length, what, (view, at) => view.getFloat64(at, true));
    case "u64":
      return plainNumber(cursor.scalar(length, what, (view, at) => view.getBigUint64(at, true)));
    case "i64":
      return plainNumber(cursor.scalar(length, what, (view, at) => view.getBigInt64(at, true)));
    default:
      return type satisfies never;
  }
}

function plainNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function readArray(cursor: Cursor, what: string, damaged: Damaged): GgufArray {
  const type = readType(cursor, `an element of ${what}`, damaged);
  const length = cursor.count(`the length of ${what}`, valueBytes[type]);
  const begin = cursor.at;
  skipElements(cursor, type, length, what, damaged, 1);
  return new GgufArray(type, length, cursor.slice(begin, cursor.at), what, damaged);
}

/** Steps over elements, checking their sizes. */
function skipElements(
  cursor: Cursor,
  type: GgufValueType,
  length: number,
  what: string,
  damaged: Damaged,
  depth: number,
): void {
  if (type === "string") {
    for (let i = 0; i < length; i++) cursor.step(cursor.u64(`the length of a string of ${what}`), what);
  } else if (type === "array") {
    if (depth === deepest) damaged(`${what} is nested deeper than ${deepest} arrays`);
    for (let i = 0; i < length; i++) {
      const inner = readType(cursor, `an element of ${what}`, damaged);
      const count = cursor.count(`the length of an array of ${what}`, valueBytes[inner]);
      skipElements(cursor, inner, count, what, damaged, depth + 1);
    }
  } else {
    cursor.step(length * valueBytes[type], what);
  }
}

/** Typed access to the metadata. Errors (model) name the file and the key whose value is of another kind. */
export class GgufMetadata {
  private readonly entries: ReadonlyMap<string, GgufValue>;
  private readonly source: string;

  /** `source`: what errors call the file. */
  constructor(entries: ReadonlyMap<string, GgufValue>, source: string) {
    this.entries = entries;
    this.source = source;
  }

  /** Its keys, in the file's order. */
  keys(): string[] {
    return [...this.entries.keys()];
  }

  get(key: string): GgufValue | undefined {
    return this.entries.get(key);
  }

  string(key: string): string | undefined {
    return this.one(key, "a string", (value) => typeof value === "string");
  }

  number(key: string): number | undefined {
    return this.one(key, "a number", (value) => typeof value === "number");
  }

  boolean(key: string): boolean | undefined {
    return this.one(key, "a bool", (value) => typeof value === "boolean");
  }

  strings(key: string): string[] | undefined {
    return this.many(key, "strings", (value) => typeof value === "string");
  }

  numbers(key: string): number[] | undefined {
    return this.many(key, "numbers", (value) => typeof value === "number");
  }

  booleans(key: string): boolean[] | undefined {
    return this.many(key, "bools", (value) => typeof value === "boolean");
  }

  private one<T extends GgufValue>(
    key: string,
    kind: string,
    is: (value: GgufValue) => value is T,
  ): T | undefined {
    const value = this.entries.get(key);
    if (value === undefined || is(value)) return value;
    return this.refuse(key, kind);
  }

  private many<T extends GgufValue>(
    key: string,
    kind: string,
    is: (value: GgufValue) => value is T,
  ): T[] | undefined {
    const value = this.entries.get(key);
    if (value === undefined) return undefined;
    const values = value instanceof GgufArray ? value.values() : this.refuse(key, `an array of ${kind}`);
    return values.every(is) ? (values as T[]) : this.refuse(key, `an array of ${kind}`);
  }

  private refuse(key: string, kind: string): never {
    return fail(
      "model",
      `${this.source}: the metadata key ${key} is not ${kind}`,
      "fetch or convert the file again",
    );
  }
}
