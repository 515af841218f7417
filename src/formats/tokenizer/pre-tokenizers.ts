/**
 * How the byte-level BPE vocabularies of GGUF files cut text into words: the file only names the rule
 * (`tokenizer.ggml.pre`, the names are llama.cpp's), the rules are those of the models' own tokenizer.json. Each is a
 * chain of expressions; each cuts what the one before it left, at the edges of its matches.
 */

export interface PreTokenizer {
  readonly cuts: readonly RegExp[];
  /** Take a word that is a token whole, without merging. */
  readonly wholeWordsFirst: boolean;
  /** Whether bos begins a text where the file does not say. */
  readonly addBos: boolean;
}

const contraction = "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const blanks = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Radford et al. 2019, encoder.py. */
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** GPT-4's rule, as Llama 3 (up to three digits a word) and Qwen 2 (one) have it. */
const gpt4 = (digits: string): string =>
  `${contraction}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${blanks}`;

/** GPT-4o's rule: a word also ends where a capital follows a small letter. */
const gpt4o = (digits: string, ending: string): string => {
  const [capital, small] = ["[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"];
  const before = "[^\\r\\n\\p{L}\\p{N}]?";
  return (
    `${before}${capital}*${small}+${ending}|${before}${capital}+${small}*${ending}|${digits}` +
    `| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${blanks}`
  );
};

const deepseekV3 = [
  "\\p{N}{1,3}",
  "[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+",
  "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" +
    blanks,
];

/** Letters with case that DeepSeek-LLM's list has; it leaves out some alphabets and the mathematical ones. */
const listedLetter =
  "(?:(?![\\u0560-\\u0588\\u10c7-\\u10ff\\u1c80-\\u1c8a\\u2d00-\\u2d2d\\ua790-\\ua7ff\\uab30-\\uab6f" +
  "\\u{10570}-\\u{105ff}\\u{10d50}-\\u{10d8f}\\u{16e40}-\\u{16eff}\\u{1d400}-\\u{1dfff}])[\\p{Lu}\\p{Ll}\\p{Lt}])";
const deepseekHan = "[\\u0800-\\u9fa5\\uac00-\\ud7ff]+";

interface Rule {
  readonly names: readonly string[];
  readonly cuts: readonly string[];
  /** Both default to false. */
  readonly wholeWordsFirst?: true;
  readonly addBos?: true;
}

const rules: readonly Rule[] = [
  { names: ["default"], cuts: ["[\\p{P}$+<=>^~|]+", gpt2, "\\p{N}+", "[0-9][0-9][0-9]"] },
  {
    names: ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
    cuts: [gpt4("\\p{N}{1,3}")],
    wholeWordsFirst: true,
    addBos: true,
  },
  { names: ["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], cuts: [gpt4("\\p{N}{1,3}")] },
  {
    names: ["qwen2", "deepseek-r1-qwen", "kormo", "stablelm2", "hunyuan", "solar-open", "grok-2", "megrez"],
    cuts: [gpt4("\\p{N}")],
  },
  {
    names: ["qwen35"],
    cuts: [
      `${contraction}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${blanks}`,
    ],
  },
  {
    names: [
      "gpt-2",
      "phi-2",
      "mpt",
      "olmo",
      "jais",
      "mellum",
      "modern-bert",
      "exaone4",
      "granite-docling",
      "trillion",
    ],
    cuts: [gpt2],
  },
  {
    names: ["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"],
    cuts: ["\\p{N}", gpt2],
  },
  { names: ["falcon"], cuts: ["[\\p{P}$+<=>^~|`]+", gpt2, "[0-9][0-9][0-9]"] },
  {
    names: ["deepseek-llm"],
    cuts: [
      "[\\r\\n]",
      `\\s?${listedLetter}+`,
      "\\s?[!-/:-~\\uff01-\\uff0f\\uff1a-\\uff5e\\u2018-\\u201f\\u3000-\\u3002]+",
      "\\s+$",
      deepseekHan,
      "\\p{N}+",
    ],
  },
  { names: ["deepseek-coder"], cuts: ["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", deepseekHan, "\\p{N}"] },
  { names: ["deepseek-v3", "hunyuan-dense", "joyai-llm"], cuts: deepseekV3 },
  { names: ["tekken"], cuts: [gpt4o("\\p{N}", "")], wholeWordsFirst: true, addBos: true },
  {
    names: ["gpt-4o", "llama4", "kanana2", "minimax-m2"],
    cuts: [gpt4o("\\p{N}{1,3}", `(?:${contraction})?`)],
  },
  {
    names: ["bailingmoe", "bailingmoe2", "llada-moe"],
    cuts: [
      `${contraction}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`,
    ],
  },
  {
    names: ["seed-coder"],
    cuts: [`${contraction}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${blanks}`],
  },
];

/** The names of all rules. */
export const preTokenizerNames: readonly string[] = rules.flatMap(({ names }) => names).sort();

/** The rule of a name, or undefined where there is none. */
export function preTokenizer(name: string): PreTokenizer | undefined {
  const rule = rules.find(({ names }) => names.includes(name));
  if (!rule) return undefined;
  const { cuts, wholeWordsFirst = false, addBos = false } = rule;
  return { cuts: cuts.map(expression), wholeWordsFirst, addBos };
}

/** In JavaScript \s is another set (it has U+FEFF and lacks U+0085). */
function expression(pattern: string): RegExp {
  const unicode = pattern.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}");
  return new RegExp(unicode, "gu");
}

/** Cuts text at the edges of each expression's matches in turn; the words joined are the text. */
export function cutWords(text: string, cuts: readonly RegExp[]): string[] {
  return cuts.reduce((words, cut) => words.flatMap((word) => cutAtMatches(word, cut)), [text]);
}

function cutAtMatches(text: string, cut: RegExp): string[] {
  const words: string[] = [];
  let end = 0;
  for (const { 0: match, index } of text.matchAll(cut)) {
    if (match === "") continue;
    if (index > end) words.push(text.slice(end, index));
    words.push(match);
    end = index + match.length;
  }
  if (end < text.length) words.push(text.slice(end));
  return words;
}
