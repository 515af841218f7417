import { expect, test } from "vitest";
import { readGenerationConfig, readOldGenerationKeys } from "./generation-config.ts";

const read = (json: unknown) => readGenerationConfig(json, "g.json", [2]);

// As published with Llama 3.1 and Qwen3.
test("drawing is as the file says, and as transformers draws where the file only says that it draws", () => {
  expect(read({ do_sample: true, temperature: 0.6, top_p: 0.9, eos_token_id: [1, 8, 9] })).toMatchObject({
    eosIds: [1, 8, 9],
    sampling: { temperature: 0.6, topP: 0.9, topK: 50 },
    taken: { do_sample: true, temperature: 0.6, top_p: 0.9 },
    notes: [],
  });
  expect(read({ do_sample: false, temperature: 0.6, eos_token_id: 2 }).sampling).toEqual({ temperature: 0 });
  expect(read({ temperature: 0.6, top_k: 0, min_p: 0.1, eos_token_id: 2 }).sampling).toEqual({
    temperature: 0.6,
    topK: 0,
    minP: 0.1,
  });
  expect(
    read({ max_new_tokens: 64, max_length: 99, stop_strings: "x", top_k: null, eos_token_id: 2 }).sampling,
  ).toEqual({
    maxTokens: 64,
    maxLength: 99,
    stop: ["x"],
  });
});

test("what is not done is told, what changes nothing is not", () => {
  const notes = (json: object): readonly string[] => read({ eos_token_id: 2, ...json }).notes;
  expect(notes({ num_beams: 4, no_repeat_ngram_size: 3 })).toEqual([
    "g.json asks for what is not done: num_beams 4, no_repeat_ngram_size 3",
  ]);
  expect(notes({ bad_words_ids: [[1], [2, 3]] })).toEqual([
    "g.json asks for what is not done: bad_words_ids of several tokens",
  ]);
  expect(notes({ colour: "red" })).toEqual(['g.json asks for what is not done: colour "red"']);
  expect(
    notes({
      num_beams: 1,
      length_penalty: 1,
      use_cache: true,
      transformers_version: "5",
      _from_model_config: true,
      pad_token_id: 0,
    }),
  ).toEqual([]);
  expect(read({ pad_token_id: 0 }).notes).toEqual([
    "g.json names no eos_token_id, so config.json's (2) does not end a text",
  ]);
});

test("a value that a key cannot have is named, with what to do", () => {
  expect(() => read({ temperature: -1 })).toThrow(
    expect.objectContaining({
      code: "config",
      message: expect.stringContaining("g.json: temperature: "),
      remedy: "correct temperature in g.json, or delete it there",
    }),
  );
  expect(() => read({ eos_token_id: "2" })).toThrow("g.json: eos_token_id: ");
  expect(() => read([])).toThrow("g.json: not a JSON object");
});

test("of config.json's old keys those count that say more than transformers' defaults", () => {
  const usual = {
    do_sample: false,
    temperature: 1,
    top_k: 50,
    top_p: 1,
    repetition_penalty: 1,
    max_length: 20,
    num_beams: 1,
  };
  expect(readOldGenerationKeys({ model_type: "llama", ...usual }, "c.json").sampling).toEqual({});
  expect(
    readOldGenerationKeys({ ...usual, do_sample: true, temperature: 0.3, num_beams: 2 }, "c.json"),
  ).toMatchObject({
    sampling: { temperature: 0.3, topK: 50, topP: 1 },
    notes: ["c.json asks for what is not done: num_beams 2"],
  });
});
