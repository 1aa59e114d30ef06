/**
 * Keys that are there for a reward which is not among those that count.
 *
 * @module
 */
import { expect, it } from "vitest";
import { unreadKeys } from "../../src/config/index.js";
import { said } from "./said.js";

it.each<[object, string]>([
  [
    { reward_funcs: "format", comparison_set: 4 },
    "comparison_set is 4, and none of reward_funcs (format) reads it. Add one of fidelity, accuracy, win_probability, binary, margin, or remove comparison_set.",
  ],
  [
    { reward_funcs: ["fidelity", "format"], distortion_type_weight: 0.5 },
    "distortion_type_weight is 0.5, and none of reward_funcs (fidelity, format) reads it. Add one of distortion, or remove distortion_type_weight.",
  ],
  [
    { reward_funcs: "threshold", preference: "majority_vote" },
    'preference is "majority_vote", and none of reward_funcs (threshold) prefers one picture to another. Add one of fidelity, accuracy, win_probability, binary, or remove preference.',
  ],
])("%j is refused, because nothing would read it", (input, message) => {
  expect(said(input)).toContain(`CONFIG_CONFLICT: ${message}`);
});

it("refuses a Python function that no name in reward_funcs asks for", () => {
  const own = { customRewards: ["near", "far"] };
  const input = { python_reward: ["./a.py:near", "./a.py:far"], reward_funcs: ["fidelity", "far"] };
  expect(said(input, own)).toEqual([
    'CONFIG_CONFLICT: python_reward brings "near", and reward_funcs (fidelity, far) does not name it: it would never run. Add it there, or remove it here.',
  ]);
  expect(said({ ...input, reward_funcs: ["near", "far"] }, own)).toEqual([]);
});

it("accepts such a key with any of its readers, and at its default with none", () => {
  expect(said({ reward_funcs: "margin", comparison_set: 4 })).toEqual([]);
  expect(said({ reward_funcs: "accuracy", preference: "majority_vote", vote_agreement: 0.6 })).toEqual([]);
  expect(said({ reward_funcs: "format", distortion_type_weight: 0.25, comparison_set: null })).toEqual([]);
  expect(unreadKeys(["distortion", "overlong"])).toEqual(["comparison_set", "vote_agreement"]);
});
