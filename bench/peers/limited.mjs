/**
 * Decoding a model wider than the memory it may have: Conclave with its expert cache against llama.cpp's mapped file.
 *
 *     node bench/peers/limited.mjs MODEL.gguf [--share 0.6] [--budget 0.2] [--rounds 3] [--tokens 33] [--threads 2]
 *
 * Memory is limited to `share` of the file (page cache included) by a control group of Linux, which takes root. Where none can be made it
 * says so, and only our cache's budget limits anything: `budget` of the file for experts. Each run is a process of its own, started after
 * the file has left the page cache: it reads a prompt of 64 and writes once to warm up, then it is timed. Tokens are drawn at temperature 1,
 * as the likeliest ones of random weights soon go in circles, and so would the experts.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Contender } from "./contender.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    share: { type: "string", default: "0.6" },
    budget: { type: "string", default: "0.2" },
    rounds: { type: "string", default: "3" },
    tokens: { type: "string", default: "33" },
    threads: { type: "string", default: "2" },
  },
});
const [file] = positionals.map((path) => resolve(path));
if (!file || !existsSync(file)) {
  console.error(
    `${file ? `${file}: there is no such file` : "give the model"}: node bench/peers/limited.mjs model.gguf`,
  );
  process.exit(2);
}
const bytes = statSync(file).size;
const limit = Math.floor(bytes * Number(flags.share));
const budget = Math.floor(bytes * Number(flags.budget));
const prompt = Array.from({ length: 64 }, (_, i) => ((i * 7919 + 13) % 31000) + 300);

const isV2 = readdirSync("/sys/fs/cgroup").includes("cgroup.controllers");
const memoryRoot = isV2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
const limitFile = isV2 ? "memory.max" : "memory.limit_in_bytes";

/** Makes a control group of so much memory; null where that is not allowed. */
function makeGroup(name) {
  const group = `${memoryRoot}/${name}`;
  try {
    mkdirSync(group, { recursive: true });
    writeFileSync(`${group}/${limitFile}`, String(limit));
    if (isV2) writeFileSync(`${group}/memory.swap.max`, "0");
    return group;
  } catch {
    return null;
  }
}

/** The most memory that a group had; null where the kernel does not say (memory.peak is there since Linux 5.19). */
function peakOf(group) {
  const path = `${group}/${isV2 ? "memory.peak" : "memory.max_usage_in_bytes"}`;
  return existsSync(path) ? Number(readFileSync(path, "utf8")) : null;
}

/** The file leaves the page cache, but for what another process has mapped. */
function drop() {
  spawnSync("sync");
  spawnSync("dd", [`of=${file}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0"]);
}

const decode = { op: "decode", model: file, prompt, tokens: Number(flags.tokens), temperature: 1 };
const contenders = {
  "Conclave, expert cache": ["conclave.mjs", ["native", flags.threads], { ...decode, expertCache: budget }],
  "Conclave, mapped": ["conclave.mjs", ["native", flags.threads], decode],
  "llama.cpp, mapped": ["llama.mjs", [flags.threads], decode],
};

/** One process: warm, then timed. Gives milliseconds a token and the most memory that its group had. */
async function timed(name, round) {
  const [script, args, work] = contenders[name];
  const group = makeGroup(`conclave-bench-${process.pid}`);
  drop();
  const join = group ? `echo $$ > ${group}/cgroup.procs && ` : "";
  const contender = new Contender(name, [
    "sh",
    "-c",
    `${join}exec "$@"`,
    "sh",
    process.execPath,
    script,
    ...args,
  ]);
  const about = await contender.prepare({ ...work, seed: 2 * round });
  const { ms, error = about.error } = about.error ? {} : await contender.ask({ do: "run" });
  const memory = await contender.ask({ do: "memory" });
  await contender.close();
  const peak = group && peakOf(group);
  if (group) await remove(group);
  if (error) console.error(`${name}: ${error}`);
  return { ms, peak, limited: group !== null, memory };
}

/** A group goes once its last process is gone. */
async function remove(group) {
  for (let tries = 0; tries < 50; tries++) {
    try {
      rmdirSync(group);
      return;
    } catch {
      await new Promise((wake) => setTimeout(wake, 100));
    }
  }
}

const mebibytes = (n) => `${Math.round(n / 2 ** 20)} MiB`;
const times = new Map(Object.keys(contenders).map((name) => [name, []]));
let isLimited = true;
for (let round = 0; round < Number(flags.rounds); round++)
  for (const name of times.keys()) {
    const { ms, peak, limited, memory } = await timed(name, round);
    isLimited &&= limited;
    if (ms !== undefined) times.get(name).push(ms);
    const hits = memory.hits === undefined ? "" : `, ${Math.round((100 * memory.hits) / memory.used)} % hits`;
    console.error(
      `${name}: ${ms?.toFixed(1)} ms a token${peak ? `, at most ${mebibytes(peak)}` : ""}${hits}`,
    );
  }
console.log(
  `${basename(file)}, ${mebibytes(bytes)}: ${isLimited ? `memory limited to ${mebibytes(limit)}` : "no limit could be set"}, ${mebibytes(budget)} of experts kept`,
);
for (const [name, all] of times) {
  const sorted = all.toSorted((a, b) => a - b);
  console.log(
    `  ${name}: ${sorted[sorted.length >> 1]?.toFixed(1)} ms a token, ${sorted.map((ms) => ms.toFixed(0)).join(" ")}`,
  );
}
