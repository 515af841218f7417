/** Bytes to named tensors, tokenizers and texts, and back. Nothing here needs Node; see files.ts for what does. */

export {
  type BlockFormat,
  decodeBlocks,
  decodeE4m3,
  decodeScaledE4m3,
  type EncodableFormat,
  encodeBlocks,
} from "../kernels/blocks/index.ts";
export { type ChatMessage, type ChatOptions, ChatTemplate, type ChatTemplateParts } from "./chat-template.ts";
export { type ChatTemplateFiles, readChatTemplate, readGgufChatTemplate } from "./chat-template-files.ts";
export {
  type BlockDType,
  blockFormatOf,
  fromFloat32,
  type PlainDType,
  plainDTypes,
  type StoredDType,
  storedBytes,
  toFloat32,
} from "./dtypes.ts";
export { GgufArray, type GgufMetadata, type GgufValue } from "./gguf/metadata.ts";
export { type GgufStore, openGguf } from "./gguf/read.ts";
export { isGgufPath, openGgufParts } from "./gguf/split.ts";
export type { GgufValueType } from "./gguf/types.ts";
export { encodeGguf, ggufPieces, type TypedValue } from "./gguf/write.ts";
export { ggufModels, isCompanion, ofQuant } from "./hub-files.ts";
export { parseJson } from "./json.ts";
export { decodeNpy, encodeNpy, type NpyArray } from "./npy.ts";
export { openSafetensors, openShards } from "./safetensors.ts";
export { encodeSafetensors, safetensorsPieces } from "./safetensors-write.ts";
export { type ByteSource, blobSource, bytesSource } from "./source.ts";
export type { Place, StoredTensor, TensorStore, TensorToStore } from "./store.ts";
export { type Document, decodeText, type Split, type SplitOptions, splitCorpus, utf8Length } from "./text.ts";
export { readGgufTokenizer, type TokenizerMetadata } from "./tokenizer/gguf.ts";
export { type TokenizerFiles, tokenizerFiles } from "./tokenizer/hugging-face.ts";
export { readTokenizer } from "./tokenizer/read.ts";
export type { TextStream, Tokenizer } from "./tokenizer/tokenizer.ts";
export { type BpeModel, type BpeOptions, trainBpe } from "./tokenizer/train.ts";
