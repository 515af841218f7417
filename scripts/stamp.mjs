// Says whether a build step's inputs have changed since its outputs were made.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./install.mjs";

function* filesUnder(path) {
  if (!statSync(path).isDirectory()) return yield path;
  for (const name of readdirSync(path).sort()) yield* filesUnder(join(path, name));
}

/** `inputs` and `outputs` are paths below the root; `extra` is any text that matters too (compiler version, flags). */
export function upToDate(name, inputs, outputs, extra = "") {
  const hash = createHash("sha256").update(process.platform + process.arch + extra);
  for (const input of inputs) {
    for (const file of filesUnder(join(root, input)))
      hash.update(file.slice(root.length)).update(readFileSync(file));
  }
  const digest = hash.digest("hex");
  const file = join(root, "build", `${name}.stamp`);
  const fresh =
    existsSync(file) &&
    readFileSync(file, "utf8") === digest &&
    outputs.every((o) => existsSync(join(root, o)));
  return { changed: !fresh, file, digest };
}

export function writeStamp({ file, digest }) {
  mkdirSync(join(root, "build"), { recursive: true });
  writeFileSync(file, digest);
}
