/** Formats on disk: what of src/formats needs Node. The rest is in index.ts and runs in browsers too. */
export * from "./files.atomic.ts";
export * from "./files.corpus.ts";
export * from "./files.demo.ts";
export * from "./files.folders.ts";
export * from "./files.gguf.ts";
export * from "./files.hub-cache.ts";
export * from "./files.pull.ts";
export * from "./files.read.ts";
export * from "./files.safetensors.ts";
export * from "./files.tokenizer.ts";
