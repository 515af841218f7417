import { fail } from "../../errors.ts";
import type { Precision } from "../../tensor/index.ts";
import { whole } from "../options.ts";

/** Parses "512,1024,8": whole numbers above 0, one for each of `names`. */
export function numbers(option: string, names: readonly string[]): (text: string) => number[] {
  return (text) => {
    const values = text.split(",").map(whole(option, 1));
    if (values.length !== names.length) {
      fail(
        "usage",
        `${option} takes ${names.length} numbers ${names.join(",")}, not ${JSON.stringify(text)}`,
      );
    }
    return values;
  };
}

export function parsePrecision(text: string): Precision {
  if (text !== "bf16" && text !== "f32")
    fail("usage", `--dtype takes bf16 or f32, not ${JSON.stringify(text)}`);
  return text;
}
