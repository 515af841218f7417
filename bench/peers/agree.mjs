/**
 * Whether Conclave and llama.cpp write the same tokens: node bench/peers/agree.mjs MODEL.gguf... [--prompts 100] [--tokens 32] [--length 16]
 *     [--text FILE --tokenizer FOLDER]
 *
 * Greedy tokens after random prompts, or after pieces of a text. F32 and F16 files must agree in every token. For weights in blocks both sides round rows to 8 bits
 * in ways of their own: there the first token counts, and both are held against exact arithmetic (our f32 mode: the weights' own values,
 * f32 products): how often each picks its token, and how far each one's logits are from its, as a share of the logits' own spread.
 *
 * All of ours runs first, and its threads have ended before llama.cpp's begin. Both take as many threads as there are CPUs: llama.cpp's own
 * choice is 4 at least, and where there are 2 its threads then wait for each other half a second a token.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { loadTokenizer } from "../../dist/formats/files.js";
import { generate, logits } from "../../dist/infer/index.js";
import { selectKernels } from "../../dist/kernels/index.js";
import { loadModel } from "../../dist/models/index.js";
import { context, Device } from "../../dist/tensor/index.js";

const { values: flags, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    prompts: { type: "string", default: "100" },
    tokens: { type: "string", default: "32" },
    length: { type: "string", default: "16" },
    text: { type: "string" },
    tokenizer: { type: "string" },
  },
});
const [promptCount, tokenCount, length] = ["prompts", "tokens", "length"].map((name) => Number(flags[name]));
const threads = availableParallelism();
const floats = ["f32", "f16", "bf16"];
const precisions = { exact: "f32", fast: "bf16" };

/** Whether any matrix of the model is in blocks. */
function hasBlocks(model) {
  for (const [, { pieces }] of model.tensors())
    if (pieces?.some(({ dtype }) => !floats.includes(dtype))) return true;
  return false;
}

async function promptsFor(vocabulary) {
  if (flags.text) {
    const ids = [...(await loadTokenizer(flags.tokenizer)).encode(readFileSync(flags.text, "utf8"))];
    const apart = Math.floor((ids.length - length) / promptCount);
    return Array.from({ length: promptCount }, (_, i) => ids.slice(i * apart, i * apart + length));
  }
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 300 + (state % (vocabulary - 600));
  };
  return Array.from({ length: promptCount }, () => Array.from({ length }, random));
}

async function take(iterator, count) {
  const ids = [];
  for await (const id of iterator) if (ids.push(id) === count) break;
  return ids;
}

const argmax = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/** Tokens of every prompt in each mode, and of files in blocks the logits after the prompt. */
async function runOurs(device, file) {
  const model = await loadModel(file, device);
  const inBlocks = hasBlocks(model);
  const { vocabulary } = model.config;
  const prompts = await promptsFor(vocabulary);
  const made = [];
  for (const prompt of prompts) {
    const one = { prompt };
    if (inBlocks)
      for (const [mode, precision] of Object.entries(precisions)) {
        one[mode] = (await logits(model, prompt, context({ precision }))).slice(-vocabulary);
        one[`${mode}Ids`] = [argmax(one[mode])];
      }
    else {
      const options = { maxTokens: tokenCount, temperature: 0, eosIds: [], alternatives: 8 };
      one.tokens = await take(
        generate(model, prompt, { ...options, ctx: context({ precision: "f32" }) }),
        tokenCount,
      );
      one.exactIds = one.tokens.map(({ id }) => id);
    }
    made.push(one);
  }
  model.dispose();
  return { file, inBlocks, made };
}

/** Adds llama.cpp's tokens, and of files in blocks its logits but for a constant: the logarithms of its probabilities. */
async function runTheirs(llama, file, inBlocks, made) {
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const sequence = (
    await model.createContext({
      contextSize: 512,
      batchSize: 512,
      threads,
      flashAttention: false,
      experimentalKvCacheKeyType: "F32", // by itself it rounds keys and values to F16
      experimentalKvCacheValueType: "F32",
    })
  ).getSequence();
  for (const one of made) {
    await sequence.clearHistory();
    if (!inBlocks) {
      one.theirIds = await take(
        sequence.evaluate(one.prompt, { temperature: 0, yieldEogToken: true }),
        tokenCount,
      );
      continue;
    }
    const ask = {
      generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } },
    };
    const input = one.prompt.map((id, i) => (i === one.prompt.length - 1 ? [id, ask] : id));
    const { next } = (await sequence.controlledEvaluate(input)).at(-1);
    one.theirs = new Float32Array(one.exact.length);
    for (const [id, probability] of next.probabilities) one.theirs[id] = Math.log(probability);
    one.theirIds = [argmax(one.theirs)];
  }
  await model.dispose();
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Logits less their mean. */
function centred(values) {
  const middle = mean(values);
  return values.map((value) => value - middle);
}

const spread = (values) => Math.sqrt(mean(values.map((value) => value * value)));

/** Root mean square of how far logits are from the exact ones, as a share of the spread of these. */
function distance(one, mode) {
  const exact = centred(one.exact);
  const own = centred(one[mode]);
  return spread(own.map((value, i) => value - exact[i])) / spread(exact);
}

/** By how much the exact arithmetic prefers its own token to the one picked, in shares of the spread. */
function regret({ exact, exactIds: [best] }, picked) {
  return (exact[best] - exact[picked]) / spread(centred(exact));
}

function tellBlocks(made) {
  const same = (a, b) => made.filter((one) => one[a][0] === one[b][0]).length;
  console.log(`  first token equal: ours and llama.cpp ${same("fastIds", "theirIds")} of ${made.length}`);
  for (const [who, ids, mode] of [
    ["ours", "fastIds", "fast"],
    ["llama.cpp", "theirIds", "theirs"],
  ]) {
    const apart = made.filter((one) => one[ids][0] !== one.exactIds[0]);
    const worst = Math.max(0, ...apart.map((one) => regret(one, one[ids][0])));
    console.log(
      `  ${who} and exact arithmetic: ${same(ids, "exactIds")}; logits ${(100 * mean(made.map((one) => distance(one, mode)))).toFixed(2)} % of their spread apart; ` +
        `where the token differs, the exact logits of both are at most ${(100 * worst).toFixed(2)} % apart`,
    );
  }
  const gaps = made.map(({ exact }) => {
    const best = [...exact].sort((a, b) => b - a);
    return (best[0] - best[1]) / spread(centred(exact));
  });
  const small = gaps.filter((gap) => gap < 0.01).length;
  console.log(
    `  the highest logit leads the next by less than 1 % of the spread in ${small} of ${made.length}`,
  );
}

/** Where the texts part: by how much the one side's token was likelier to ours, as the difference of ln p. */
function parting({ tokens, theirIds }) {
  const at = tokens.findIndex(({ id }, i) => id !== theirIds[i]);
  if (at < 0) return [];
  const theirs = tokens[at].alternatives.find(({ id }) => id === theirIds[at]);
  return [{ at, gap: theirs ? tokens[at].logProbability - theirs.logProbability : Number.POSITIVE_INFINITY }];
}

function tellFloats(made) {
  const first = made.filter(({ exactIds: a, theirIds: b }) => a[0] === b[0]).length;
  const partings = made.flatMap(parting);
  console.log(
    `  of ${made.length} prompts, first token equal ${first}, all ${tokenCount} equal ${made.length - partings.length}`,
  );
  for (const { at, gap } of partings)
    console.log(`  apart from token ${at} on, where ln p of the two differs by ${gap.toExponential(1)}`);
}

const { kernels } = await selectKernels({ threads });
const device = new Device(kernels);
const runs = [];
for (const file of files) runs.push(await runOurs(device, file));
kernels.dispose();

const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  logLevel: LlamaLogLevel.error,
});
for (const { file, inBlocks, made } of runs) {
  await runTheirs(llama, file, inBlocks, made);
  console.log(basename(file));
  if (inBlocks) tellBlocks(made);
  else tellFloats(made);
}
process.exit(0);
