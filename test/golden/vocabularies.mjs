/** Part of vocabularies.py: the ids that llama.cpp gives to FOLDER/samples.json by each vocabulary of FOLDER. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, peers] = process.argv.slice(2);
const entry = createRequire(`${peers}/package.json`).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "fatal" });
const samples = JSON.parse(readFileSync(`${folder}/samples.json`, "utf8"));
const ids = {};
for (const file of readdirSync(folder).filter((name) => name.endsWith(".gguf"))) {
  const model = await llama.loadModel({ modelPath: `${folder}/${file}`, vocabOnly: true, gpuLayers: 0 });
  ids[file.slice(0, -".gguf".length)] = samples.map((text) => Array.from(model.tokenize(text, true), Number));
  await model.dispose();
}
writeFileSync(`${folder}/ids.json`, JSON.stringify(ids));
process.exit(0);
