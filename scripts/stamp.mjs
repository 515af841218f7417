// Says whether a build step's outputs are those of its present inputs: beside each output's name in build/ stands a hash of them.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./install.mjs";

function* filesUnder(path) {
  if (!statSync(path).isDirectory()) return yield path;
  for (const name of readdirSync(path).sort()) yield* filesUnder(join(path, name));
}

/** A hash of the files and folders `inputs` (below the root) and of the strings `extra` (flags, compiler). */
export function stamp(inputs, extra = []) {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}\n`);
  for (const text of extra) hash.update(`${text}\n`);
  for (const input of inputs) {
    for (const file of filesUnder(join(root, input))) {
      hash.update(`${file.slice(root.length)}\n`).update(readFileSync(file));
    }
  }
  const value = hash.digest("hex");
  return {
    value,
    write: (file) => {
      mkdirSync(join(root, "build"), { recursive: true });
      writeFileSync(stampOf(file), value);
    },
  };
}

/** Whether `file` was made from these inputs. */
export function isCurrent(file, inputs) {
  const present = existsSync(join(root, file)) && existsSync(stampOf(file));
  return present && readFileSync(stampOf(file), "utf8") === inputs.value;
}

const stampOf = (file) => join(root, "build", `${file.replaceAll("/", "-")}.stamp`);
