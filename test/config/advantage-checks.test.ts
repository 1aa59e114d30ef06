/**
 * Estimators, groups without spread and overlong shaping in the configuration.
 *
 * @module
 */
import { expect, it } from "vitest";
import { resolveConfig } from "../../src/config/index.js";
import type { ConfigInput } from "../../src/config/index.js";
import { said } from "./said.js";

const resolve = (input: object) => resolveConfig({ model_name_or_path: "m", ...input } as ConfigInput);

it.each<[string, object, string]>([
  [
    "a scale that the estimator does not have",
    { advantage_estimator: "rloo", scale_rewards: "group" },
    'CONFIG_CONFLICT: scale_rewards is "group", and advantage_estimator is "rloo", which has "none" or "batch". Remove scale_rewards, or choose another estimator.',
  ],
  [
    "no scale where the estimator is made of it",
    { advantage_estimator: "gdpo", scale_rewards: false },
    'CONFIG_CONFLICT: scale_rewards is "none", and advantage_estimator is "gdpo", which has "batch". Remove scale_rewards, or choose another estimator.',
  ],
  [
    "subsets without a size",
    { advantage_estimator: "pass_at_k" },
    'CONFIG_CONFLICT: advantage_estimator is "pass_at_k", and pass_at_k, the size of its subsets, is not set. Set it.',
  ],
  [
    "a size without subsets",
    { pass_at_k: 2 },
    'CONFIG_CONFLICT: pass_at_k is 2, and advantage_estimator is "group", which has no subsets. Set advantage_estimator to "pass_at_k", or remove pass_at_k.',
  ],
  [
    "a single subset",
    { advantage_estimator: "pass_at_k", pass_at_k: 6 },
    "CONFIG_CONFLICT: pass_at_k is 6, and num_generations is 6: all subsets of so many completions are the same, so that nothing could be learnt. Raise num_generations, or lower pass_at_k.",
  ],
  [
    "tries of nothing",
    { dynamic_sampling_tries: 5 },
    "CONFIG_CONFLICT: dynamic_sampling_tries is 5, and dynamic_sampling is false, so nothing is tried. Set it to true, or remove dynamic_sampling_tries.",
  ],
  [
    "KL in a sum that is not formed",
    { advantage_estimator: "gdpo", kl_in_reward: true },
    'CONFIG_CONFLICT: kl_in_reward is true, which takes the KL off the sum of the rewards, and advantage_estimator is "gdpo", which normalises each reward apart. Remove kl_in_reward (the KL then stays in the loss), or choose another estimator.',
  ],
  [
    "a cache of a reward that is not paid",
    { overlong_cache: 10 },
    "CONFIG_CONFLICT: overlong_cache is 10, and none of reward_funcs (fidelity, format) reads it. Add one of overlong, or remove overlong_cache.",
  ],
  [
    "a punishment that begins before the answer",
    { reward_funcs: ["fidelity", "overlong"], max_completion_length: 64, overlong_cache: 65 },
    "CONFIG_CONFLICT: overlong_cache is 65, more than max_completion_length, 64. Lower it.",
  ],
])("refuses %s", (_, input, message) => {
  expect(said(input)).toEqual([message]);
});

it("accepts the neighbours of what it refuses", () => {
  expect(said({ advantage_estimator: "rloo", scale_rewards: "batch" })).toEqual([]);
  expect(said({ advantage_estimator: "pass_at_k", pass_at_k: 5, scale_rewards: "none" })).toEqual([]);
  expect(said({ dynamic_sampling: true, dynamic_sampling_tries: 5, drop_zero_variance_groups: true })).toEqual([]);
  expect(said({ dynamic_sampling_tries: 3 })).toEqual([]);
  expect(said({ reward_funcs: "overlong", max_completion_length: 64, overlong_cache: 64 })).toEqual([]);
});

it.each([
  ["group", "group"],
  ["rloo", "none"],
  ["reinforce_plus_plus_baseline", "batch"],
  ["gdpo", "batch"],
] as const)("divides as %s is defined when nothing is said: %s", (advantage_estimator, scale) => {
  const resolved = resolve({ advantage_estimator });
  expect(resolved.scale_rewards).toBe(scale);
  expect(resolveConfig(resolved)).toEqual(resolved);
});
