// Whether Conclave and llama.cpp write the same tokens: node bench/peers/agree.mjs MODEL.gguf... [--prompts 100] [--tokens 32]
//
// Greedy tokens after random prompts of 16 tokens. F32 and F16 files must agree in every token; for weights in blocks both sides round
// rows to 8 bits in ways of their own, so there the first token counts.
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { generate } from "../../dist/infer/index.js";
import { selectKernels } from "../../dist/kernels/index.js";
import { loadModel } from "../../dist/models/index.js";
import { context, Device } from "../../dist/tensor/index.js";

const { values: flags, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    prompts: { type: "string", default: "100" },
    tokens: { type: "string", default: "32" },
    precision: { type: "string", default: "f32" },
  },
});
const tokens = Number(flags.tokens);
const device = new Device((await selectKernels()).kernels);
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  logLevel: LlamaLogLevel.error,
});

async function first(iterator, take) {
  const ids = [];
  for await (const one of iterator) {
    ids.push(take(one));
    if (ids.length === tokens) break;
  }
  return ids;
}

for (const file of files) {
  const ours = await loadModel(file, device);
  const theirs = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const sequence = (await theirs.createContext({ contextSize: 512, batchSize: 512 })).getSequence();
  const { vocabulary } = ours.config;
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % (vocabulary - 600);
  };
  let whole = 0;
  let start = 0;
  for (let n = 0; n < Number(flags.prompts); n++) {
    const prompt = Array.from({ length: 16 }, () => 300 + random());
    const ctx = context({ precision: flags.precision });
    const a = await first(
      generate(ours, prompt, { maxTokens: tokens, temperature: 0, eosIds: [], ctx }),
      ({ id }) => id,
    );
    await sequence.clearHistory();
    const b = await first(sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true }), (id) => id);
    if (a[0] === b[0]) start++;
    if (a.every((id, i) => id === b[i])) whole++;
  }
  console.log(
    `${basename(file)}: of ${flags.prompts} prompts, first token equal ${start}, all ${tokens} equal ${whole}`,
  );
  ours.dispose();
  await theirs.dispose();
}
process.exit(0);
