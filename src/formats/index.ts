/** Bytes to named tensors, tokenizers and texts, and back. Nothing here needs Node; see files.ts for what does. */
export {
  fromFloat32,
  isStoredDType,
  type StoredDType,
  storedBytes,
  storedDTypes,
  toFloat32,
} from "./dtypes.ts";
export { parseJson } from "./json.ts";
export { decodeNpy, encodeNpy, type NpyArray } from "./npy.ts";
export { openSafetensors, openShards, type StoredTensor, type TensorStore } from "./safetensors.ts";
export { encodeSafetensors, safetensorsPieces, type TensorToStore } from "./safetensors-write.ts";
export { type ByteSource, blobSource, bytesSource } from "./source.ts";
export { type Document, decodeText, type Split, type SplitOptions, splitCorpus, utf8Length } from "./text.ts";
export { type TokenizerFiles, tokenizerFiles } from "./tokenizer/hugging-face.ts";
export { readTokenizer } from "./tokenizer/read.ts";
export type { TextStream, Tokenizer } from "./tokenizer/tokenizer.ts";
export { type BpeModel, type BpeOptions, trainBpe } from "./tokenizer/train.ts";
