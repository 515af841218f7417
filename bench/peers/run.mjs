/**
 * Runs Conclave and its peers side by side and writes what they took:
 *
 *     node bench/peers/run.mjs [--json FILE] [--quick] [--only gemm,moe,...] [--python PATH] [--threads 2] [--gguf MODEL.gguf]...
 *         [--rounds 15] [--match "training step, deep, f32"]
 *
 * All contenders of a case are prepared, then run in turn, one run each a round, so that a slow minute of the machine slows all of
 * them. A peer that is not installed is left out and named. report.mjs makes docs/performance.md of the file.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";

import { arch, cpus, platform, totalmem } from "node:os";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Contender } from "./contender.mjs";

if (!existsSync(new URL("../../dist/cli/bench/workloads.js", import.meta.url))) {
  console.error("error: Conclave is not built\nfix: npm run build");
  process.exit(1);
}
const { casesOf } = await import("./cases.mjs");

const { values: flags } = parseArgs({
  options: {
    json: { type: "string", default: "docs/performance/results.json" },
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    python: { type: "string", default: "python3" },
    threads: { type: "string", default: "2" },
    gguf: { type: "string", multiple: true, default: [] },
    rounds: { type: "string" },
    match: { type: "string", default: "" },
  },
});
const { threads, python } = flags;
const groups = casesOf(
  flags.quick,
  flags.gguf.map((file) => resolve(file)),
);
const wanted = flags.only?.split(",") ?? Object.keys(groups);
const stranger = wanted.find((name) => !(name in groups));
if (stranger) {
  console.error(`error: --only takes ${Object.keys(groups).join(", ")}, not ${stranger}`);
  process.exit(2);
}

const rounds = Number(flags.rounds ?? (flags.quick ? 3 : 15));
/** A contender has its rounds until it has taken so long on one case, and at least `leastRuns` of them. */
const budgetMs = flags.quick ? 3_000 : 30_000;
const leastRuns = flags.quick ? 1 : 3;
/** One that takes longer than this for a run has no more of them, and sits out the larger cases of a sweep. */
const patienceMs = flags.quick ? 5_000 : 60_000;
/** Between two runs, so that one's waiting threads are asleep before the next begins. */
const gapMs = 60;

const commands = {
  Conclave: [[process.execPath, "conclave.mjs", "native", threads]],
  "Conclave, 1 thread": [[process.execPath, "conclave.mjs", "native", "1"]],
  "Conclave wasm": [[process.execPath, "conclave.mjs", "wasm", threads]],
  "Conclave wasm, 1 thread": [[process.execPath, "conclave.mjs", "wasm", "1"]],
  "PyTorch eager": [[python, "pytorch.py", threads], { experts: "eager" }],
  "PyTorch grouped_mm": [[python, "pytorch.py", threads], { experts: "grouped_mm" }],
  "TensorFlow.js": [[process.execPath, "tfjs.mjs", threads]],
  "jax-js": [[process.execPath, "jax.mjs"]],
  "llama.cpp": [[process.execPath, "llama.mjs", threads]],
  "ONNX Runtime": [[process.execPath, "onnx.mjs", threads]],
};

const contenders = new Map();
const versions = {};
for (const name of new Set(wanted.flatMap((group) => groups[group].flatMap((one) => one.contenders)))) {
  const contender = new Contender(name, ...commands[name]);
  const about = await contender.ask({ do: "about" });
  if (about.error) {
    const how = name.startsWith("Conclave")
      ? "npm run build"
      : name.startsWith("PyTorch")
        ? `${python} -m pip install -r bench/peers/requirements.txt, or --python PATH`
        : "npm install --prefix bench/peers --ignore-scripts";
    console.error(`without ${name}: ${about.error}; to have it: ${how}`);
  } else {
    contenders.set(name, contender);
    versions[name] = about;
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sum = (values) => values.reduce((a, b) => a + b, 0);
const tooSlow = new Set();

const sweepKey = (one, name) => `${one.along} ${one.case.dtype} ${name}`;

async function timeCase(one) {
  const entered = [];
  const refused = [];
  for (const name of one.contenders) {
    const contender = contenders.get(name);
    if (!contender || tooSlow.has(sweepKey(one, name))) continue;
    const { error } = await contender.prepare(one.case);
    if (error) refused.push({ name, error });
    else entered.push({ name, contender, times: [], failed: false });
  }
  for (let round = 0; round < rounds; round++) {
    for (const entry of entered) {
      const { contender, times, name, failed } = entry;
      if (failed) continue;
      if (times.length >= leastRuns && sum(times) > budgetMs) continue;
      if (times.some((ms) => ms > patienceMs)) continue;
      await sleep(gapMs);
      const { ms, error } = await contender.ask({ do: "run" });
      if (error) {
        refused.push({ name, error });
        entry.failed = true;
      } else times.push(ms);
      if (one.along && ms > patienceMs) tooSlow.add(sweepKey(one, name));
    }
  }
  for (const { contender } of entered) await contender.ask({ do: "release" });
  const results = entered
    .filter(({ times }) => times.length > 0)
    .map(({ name, times }) => figures(name, times, one));
  return { title: one.title, along: one.along, case: one.case, results, refused };
}

function figures(name, times, one) {
  const sorted = times.toSorted((a, b) => a - b);
  const medianMs = sorted[Math.floor(sorted.length / 2)];
  const { flops } = one.case;
  return { name, runs: times.length, medianMs, minMs: sorted[0], gflops: flops && flops / medianMs / 1e6 };
}

async function memoryOf(one) {
  const contender = contenders.get("Conclave");
  await contender.prepare(one.case);
  const memory = await contender.ask({ do: "memory" });
  await contender.ask({ do: "release" });
  return { title: one.title, case: one.case, ...memory };
}

const results = {};
for (const group of wanted) {
  results[group] = [];
  if (group === "memory" && !contenders.has("Conclave")) continue;
  for (const one of groups[group].filter(({ title }) => title.includes(flags.match))) {
    process.stderr.write(`${one.title} ...`);
    const result = group === "memory" ? await memoryOf(one) : await timeCase(one);
    results[group].push(result);
    const shown = (result.results ?? []).map(({ name, medianMs }) => `${name} ${medianMs.toFixed(1)}`);
    process.stderr.write(` ${shown.join(" | ")}\n`);
  }
}
for (const contender of contenders.values()) contender.close();

const machine = {
  cpu: cpus()[0]?.model ?? "unknown",
  cpus: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  os: `${platform()} ${arch()}`,
  node: process.version,
  fmaGflops: versions.Conclave?.peaks.fmaGflops,
  matrixGflops: versions.Conclave?.peaks.matrixGflops,
  readGBs: versions.Conclave?.peaks.readGBs,
};
const date = new Date().toISOString().slice(0, 10);
mkdirSync(dirname(flags.json), { recursive: true });
writeFileSync(
  flags.json,
  `${JSON.stringify({ date, machine, threads: Number(threads), versions, results }, null, 1)}\n`,
);
console.error(
  `written: ${flags.json}; node bench/peers/report.mjs ${flags.json} makes docs/performance.md of it`,
);
