/** llama.cpp, through node-llama-cpp, reading prompts and writing tokens: node llama.mjs [threads]. */

import { readFileSync } from "node:fs";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { serve } from "./protocol.mjs";

const threads = Number(process.argv[2] ?? 2);
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  logLevel: LlamaLogLevel.error,
  maxThreads: threads,
});
const { version } = JSON.parse(
  readFileSync(new URL("node_modules/node-llama-cpp/package.json", import.meta.url), "utf8"),
);

/** Ids written after `prompt`, greedily or drawn at a temperature, and when each came. */
async function write(sequence, prompt, tokens, temperature, seed) {
  await sequence.clearHistory();
  const ids = [];
  const times = [performance.now()];
  for await (const id of sequence.evaluate(prompt, {
    temperature,
    seed,
    topK: 0,
    topP: 1,
    minP: 0,
    yieldEogToken: true,
  })) {
    ids.push(id);
    times.push(performance.now());
    if (ids.length === tokens) break;
  }
  return { ids, times };
}

await serve(
  { name: "llama.cpp", version: `node-llama-cpp ${version}`, threads },
  async ({ op, model: path, prompt, tokens, temperature = 0, seed = 0 }) => {
    const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
    const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads });
    const sequence = context.getSequence();
    let turn = 0;
    return {
      async run() {
        const { times } = await write(sequence, prompt, tokens, temperature, seed + turn++);
        return op === "prefill" ? times[1] - times[0] : (times.at(-1) - times[1]) / (tokens - 1);
      },
      dispose: () => model.dispose(),
    };
  },
);
