/**
 * Contradictions of the objective's keys, and what follows from them.
 *
 * @module
 */
import { describe, expect, it } from "vitest";
import { resolveConfig } from "../../src/config/index.js";
import type { ConfigInput, ResolvedConfig } from "../../src/config/index.js";
import { said } from "./said.js";

const resolve = (input: object): ResolvedConfig => resolveConfig({ model_name_or_path: "m", ...input } as ConfigInput);

it.each<[object, string]>([
  [
    { loss_type: "gspo", importance_sampling_level: "token" },
    'importance_sampling_level is "token", and loss_type gspo has one ratio per sequence. Use loss_type grpo, or remove it.',
  ],
  [
    { loss_type: "cispo", importance_sampling_level: "sequence" },
    'importance_sampling_level is "sequence", and loss_type cispo is made of ratios per token. Use gspo, or remove it.',
  ],
  [
    { loss_type: "gspo", delta: 2 },
    "delta is 2, and loss_type gspo has no dual clip. Use grpo with importance_sampling_level sequence, or remove delta.",
  ],
  [{ loss_type: "sapo", delta: 2 }, "delta is 2, and loss_type sapo has no dual clip. Remove it."],
  [
    { delta: 1.25, epsilon_high: 0.28 },
    "delta is 1.25, which is not above 1 + epsilon_high = 1.28, where ratios are clipped anyway. Raise it.",
  ],
  [
    { loss_type: "cispo", epsilon_high: 0.28 },
    "epsilon_high is 0.28, and with loss_type cispo it is the cap of the ratio itself, as in TRL: below 1 it would shrink every token. Use 1.28, or the usual 5.",
  ],
  [
    { loss_type: "cispo", epsilon: 0.3, epsilon_high: 5 },
    "epsilon is 0.3 and epsilon_high is 5, and with loss_type cispo epsilon_high alone is the cap of the ratio, so epsilon would change nothing. Remove it.",
  ],
  [
    { loss_type: "sapo", epsilon: 0.1 },
    "epsilon is 0.1 and epsilon_high is null, and loss_type sapo has no clip: its gate closes by sapo_temperature_pos and sapo_temperature_neg. Remove them.",
  ],
  [
    { sapo_temperature_neg: 1.2 },
    "sapo_temperature_neg is 1.2, and loss_type is grpo, so it would change nothing. Remove it.",
  ],
  [
    { beta: 0, kl_estimator: "k2" },
    'kl_estimator is "k2", and beta is 0: there is no KL term, so it would change nothing. Remove it.',
  ],
  [
    { beta: 0, kl_in_reward: true },
    "kl_in_reward is true, and beta is 0: there is no KL term, so it would change nothing. Remove it.",
  ],
  [
    { importance_sampling_mode: "token_mask" },
    'importance_sampling_mode is "token_mask", and importance_sampling_correction is false, so it would change nothing. Remove it.',
  ],
  [
    { importance_sampling_correction: true, importance_sampling_clip_min: 4 },
    "importance_sampling_clip_min is 4, which is not below importance_sampling_clip_max, 3.",
  ],
])("%j is refused", (input, message) => {
  expect(said(input)).toEqual([`CONFIG_CONFLICT: ${message}`]);
});

describe("what follows from the loss type", () => {
  it.each([
    ["grpo", "token", 0.2],
    ["dr_grpo", "token", 0.2],
    ["sapo", "token", 0.2],
    ["cispo", "token", 1.2],
    ["gspo", "sequence", 0.2],
    ["luspo", "sequence", 0.2],
  ])("%s has ratios per %s and epsilon_high %d", (loss_type, level, high) => {
    const config = resolve({ loss_type });
    expect(config).toMatchObject({ importance_sampling_level: level, epsilon_high: high });
    expect(resolveConfig(config)).toEqual(config);
  });

  it("is a cap of cispo that goes with epsilon, also once it was resolved", () => {
    const config = resolve({ loss_type: "cispo", epsilon: 0.3 });
    expect(config.epsilon_high).toBe(1.3);
    expect(resolveConfig(config)).toEqual(config);
  });

  it("is replaced by what is set", () => {
    expect(resolve({ loss_type: "luspo", importance_sampling_level: "token" }).importance_sampling_level).toBe("token");
    expect(resolve({ importance_sampling_level: "sequence", delta: 2 }).delta).toBe(2);
  });
});

it.each([
  ["entropy_coef", "entropy_coefficient"],
  ["vllm_importance_sampling_mode", "importance_sampling_mode"],
  ["vllm_importance_sampling_correction", "importance_sampling_correction"],
  ["vllm_importance_sampling_clip_max", "importance_sampling_clip_max"],
])("TRL's %s is answered with %s", (theirs, ours) => {
  expect(said({ [theirs]: 1 })).toEqual([`CONFIG_UNKNOWN_KEY: unknown key "${theirs}"; did you mean "${ours}"?`]);
});

it.each(["mask_truncated_completions", "importance_sampling_correction"])("%s is a switch", (key) => {
  expect(resolve({ [key]: true })).toMatchObject({ [key]: true });
});
