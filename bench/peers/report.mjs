/** node bench/peers/report.mjs RESULTS.json...: docs/performance.md and its plots, from what run.mjs wrote. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { plot } from "./plot.mjs";

// A long run may be made in parts, each in a file of its own; the machine is that of the first.
const files = process.argv.length > 2 ? process.argv.slice(2) : ["docs/performance/results.json"];
const runs = files.map((file) => JSON.parse(readFileSync(file, "utf8")));
const { date, machine, threads } = runs[0];
const versions = Object.assign({}, ...runs.map((run) => run.versions));
const results = {};
for (const run of runs)
  for (const [group, cases] of Object.entries(run.results))
    results[group] = [...(results[group] ?? []), ...cases];
const docs = new URL("../../docs/", import.meta.url);
mkdirSync(new URL("performance/", docs), { recursive: true });

const ms = (value) => (value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0));
const mib = (bytes) => (bytes / 2 ** 20).toFixed(1);
const table = (head, rows) =>
  [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
const isOurs = (name) => name.startsWith("Conclave");
const oursOf = ({ results: all }) => all.find(({ name }) => name === "Conclave");

/** One row a contender; "x Conclave": how many times as long as Conclave on all threads. */
function comparison(group) {
  const rows = (results[group] ?? []).flatMap((one) => {
    const ours = oursOf(one);
    return one.results.map(({ name, medianMs, minMs, gflops, runs }, i) => [
      i === 0 ? one.title : "",
      name,
      ms(medianMs),
      ms(minMs),
      gflops ? gflops.toFixed(0) : "",
      ours ? `${(medianMs / ours.medianMs).toFixed(2)}` : "",
      runs,
    ]);
  });
  return table(["what", "who", "median ms", "min ms", "GFLOP/s", "x Conclave", "runs"], rows);
}

/** How many times as fast as the best other one of the same kind Conclave is. */
function verdicts() {
  const rows = ["generate", "moe", "train", "gemm"].flatMap((group) =>
    (results[group] ?? []).flatMap((one) => {
      const ours = oursOf(one);
      const others = one.results.filter(({ name }) => !isOurs(name));
      if (!ours || others.length === 0) return [];
      const best = others.reduce((a, b) => (b.medianMs < a.medianMs ? b : a));
      return [[one.title, best.name, `${(best.medianMs / ours.medianMs).toFixed(2)}`]];
    }),
  );
  return table(["what", "best other", "Conclave is so many times as fast"], rows);
}

function scaling() {
  const rows = ["generate", "gemm", "moe", "train"].flatMap((group) =>
    (results[group] ?? []).flatMap((one) =>
      [
        ["Conclave", "Conclave, 1 thread"],
        ["Conclave wasm", "Conclave wasm, 1 thread"],
      ].flatMap(([all, single]) => {
        const [a, b] = [all, single].map((wanted) => one.results.find(({ name }) => name === wanted));
        return a && b
          ? [[one.title, all, ms(b.medianMs), ms(a.medianMs), (b.medianMs / a.medianMs).toFixed(2)]]
          : [];
      }),
    ),
  );
  return table(["what", "who", "1 thread, ms", `${threads} threads, ms`, "times as fast"], rows);
}

function memory() {
  const rows = (results.memory ?? []).map(({ title, savedBytes, gradientBytes, peakBytes }) => [
    title,
    mib(savedBytes),
    mib(gradientBytes),
    mib(savedBytes + gradientBytes),
    mib(peakBytes),
    (peakBytes / (savedBytes + gradientBytes)).toFixed(2),
  ]);
  return table(["what", "saved, MiB", "gradients, MiB", "sum", "measured peak", "peak / sum"], rows);
}

/** The cases of a sweep as plot lines, and a table with each point's time against the first's. */
function sweep(group, along, axis) {
  const cases = (results[group] ?? []).filter((one) => one.along === along);
  const names = [...new Set(cases.flatMap((one) => one.results.map(({ name }) => name)))];
  const dtypes = [...new Set(cases.map((one) => one.case.dtype))];
  const series = names.flatMap((name, colour) =>
    dtypes.map((dtype, i) => ({
      name: `${name}, ${dtype}`,
      colour,
      dashed: i > 0,
      points: cases.flatMap((one) => {
        const found = one.case.dtype === dtype && one.results.find((result) => result.name === name);
        return found ? [[one.case[axis], found.medianMs]] : [];
      }),
    })),
  );
  const drawn = series.filter(({ points }) => points.length > 0);
  const rows = drawn.flatMap(({ name, points }) =>
    points.map(([x, y], i) => {
      const work = axis === "T" ? x / points[0][0] : 1;
      const bound = axis === "E" ? [ms(points[0][1] + 1.2 * weightMs(cases[0].case, x - points[0][0]))] : [];
      return [
        i === 0 ? name : "",
        x.toLocaleString("en-US"),
        ms(y),
        (y / points[0][1] / work).toFixed(2),
        ...bound,
      ];
    }),
  );
  const last = axis === "T" ? ["per token, of the first"] : ["of the first", "bound, ms"];
  return { drawn, table: table(["who", axis, "median ms", ...last], rows) };
}

/** Milliseconds that memory takes to read the weights of `experts` more twice, and to write their gradients. */
function weightMs({ D, F }, experts) {
  return (3 * experts * 3 * D * F * 4) / machine.readGBs / 1e6;
}

function drawn(name, title, xLabel, { drawn: series }) {
  if (series.length === 0) return "";
  writeFileSync(new URL(`performance/${name}.svg`, docs), plot({ title, xLabel, yLabel: "ms", series }));
  return `![${title}](performance/${name}.svg)\n`;
}

const tokens = sweep("tokens", "T", "T");
const alongs = [...new Set((results.experts ?? []).map((one) => one.along))];
const experts = alongs.map((along, i) => {
  const one = sweep("experts", along, "E");
  return `${drawn(`experts-${i + 1}`, `MoE layer, forward + backward, against ${along}`, "experts, two picked a token", one)}\n${one.table}`;
});
const refused = Object.values(results)
  .flat()
  .flatMap((one) => (one.refused ?? []).map(({ name, error }) => `- ${one.title}: ${name}: ${error}`));
const versionLines = Object.entries(versions).map(
  ([name, { version, threads: count, kernels }]) =>
    `- ${name}: ${version}${kernels ? `, ${kernels}` : ""}, ${count} thread${count === 1 ? "" : "s"}`,
);

// Sweeps take minutes: a run without them has no section for them.
const tokenSection = results.tokens?.length
  ? `## Time against tokens

${drawn("tokens", "MoE layer, forward + backward, against tokens", "tokens (D=512 F=1024 E=8 K=2)", tokens)}
${tokens.table}

`
  : "";
const expertSection = results.experts?.length
  ? `## Time against experts

Fixed width (D=512, F=1024) and picks (K=2): the products stay the same, weights and their gradients grow with E. "Bound": the first's time, and 1.2
times what memory, at the ${machine.readGBs?.toFixed(1)} GB/s measured at the start, takes to read the further experts' weights in the forward and in
the backward pass and to write their gradients.

${experts.join("\n\n")}

`
  : "";

const page = `# Performance

Made by \`node bench/peers/run.mjs\` and \`node bench/peers/report.mjs\` on ${date}; not edited by hand. [How to run it](../bench/peers/README.md).

Machine: ${machine.cpu}, ${machine.cpus} CPUs, ${machine.memoryGiB} GiB, ${machine.os}, Node ${machine.node}.
Measured at the start: ${machine.fmaGflops?.toFixed(0)} GFLOP/s of f32 multiply-adds in registers,${machine.matrixGflops ? ` ${machine.matrixGflops.toFixed(0)} of bf16 products in the matrix unit,` : ""} ${machine.readGBs?.toFixed(1)} GB/s of memory read, ${threads} threads.

${versionLines.join("\n")}

All contenders of a row ran in turn in one process each, one run a round; figures are medians over rounds. Ratios are of medians of the same
rounds. GFLOP/s count products only (2 m n k), so that routing, activations and copies show as lost rate.

## In short

${verdicts()}

## MoE layer

${comparison("moe")}

PyTorch's layer is transformers' \`MixtralSparseMoeBlock\`. TensorFlow.js and jax-js are written as well as their interfaces allow: each
expert gathers its rows, three plain products, rows scattered (or gathered) back; see \`tfjs.mjs\` and \`jax.mjs\` for what was tried.

## Generation

A qwen3moe with random weights (\`random-gguf.mjs\`: 489 M parameters, 137 M active; D=1024, 8 layers, 32 experts, top-4, F=512), the same GGUF for both; llama.cpp
through node-llama-cpp. A prompt of 512 tokens until the first token is there; then the mean of 64 tokens after a prompt of 64.

${comparison("generate")}

## Training step

Forward, backward, gradient clipping and AdamW. "small" is the default preset; "deep" has 12 layers, D=512, F=512, 16 experts, 2 a token, batch
8 x 256. PyTorch: \`MixtralForCausalLM\` with its balance loss, bf16 by autocast, fused AdamW.

${comparison("train")}

## Plain product

${comparison("gemm")}

${tokenSection}${expertSection}## Threads

${scaling()}

## Memory of a step

"Saved" is what the tape holds for the gradient between the forward and the backward pass; "gradients" are those of the weights. For the layer
alone it can be counted by hand, in f32, with R = T K rows: rows of tokens R D, gate and up 2 R F, their product R F, outputs R D, and the layer's
own output T D: (2 R D + 3 R F + T D) x 4 bytes, besides the router's few numbers a token; in bf16 the 3 R F take 2 bytes each. The peak is that
of a whole forward and backward pass.

${memory()}
${refused.length > 0 ? `\n## Not run\n\n${refused.join("\n")}\n` : ""}`;
writeFileSync(new URL("performance.md", docs), page);
console.error("written: docs/performance.md and docs/performance/*.svg");
