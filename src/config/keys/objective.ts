/**
 * Configuration keys of the section "Objective": what is maximised. The formulas are in docs/algorithms.md.
 *
 * @module
 */
import { z } from "zod";

export const objectiveKeys = {
  loss_type: z
    .enum(["grpo", "dapo", "bnpo", "dr_grpo", "gspo", "luspo", "cispo", "sapo"])
    .default("grpo")
    .describe(
      "The loss: grpo (clipped ratios, mean per completion), dapo (mean over all tokens; bnpo is the same here), dr_grpo " +
        "(by a constant length), gspo (one ratio per completion), luspo (gspo times the length), cispo (capped ratios as " +
        "weights of the log-probability), sapo (a soft gate in the place of the clip).",
    ),
  importance_sampling_level: z
    .enum(["token", "sequence"])
    .nullable()
    .default(null)
    .describe(
      "Where probability ratios are taken: of each token, or one of the whole completion (with grpo that is gspo). null: " +
        "sequence for gspo and luspo, else token.",
    ),
  beta: z
    .number()
    .min(0)
    .default(0.04)
    .describe("Weight of the KL term against the starting model. 0: no reference model is kept."),
  kl_estimator: z
    .enum(["k1", "k2", "k3"])
    .default("k3")
    .describe(
      "Estimator of the KL per token, d = log-probability under the reference less that under the policy: k1 -d, k2 d^2 / 2, " +
        "k3 exp(d) - d - 1. In the loss k1 has a gradient that is zero on average.",
    ),
  kl_in_reward: z
    .boolean()
    .default(false)
    .describe(
      "Take `beta` times the KL summed over a completion off its reward, before advantages, instead of putting it into the loss.",
    ),
  epsilon: z.number().positive().lt(1).default(0.2).describe("Clip range of the probability ratio below 1."),
  epsilon_high: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe("Clip range above 1. null: as `epsilon`. With cispo the cap of the ratio itself, null: 1 + `epsilon`."),
  delta: z
    .number()
    .gt(1)
    .nullable()
    .default(null)
    .describe(
      "Largest ratio where the advantage is negative and the clip leaves it open (dual clip); above 1 + `epsilon_high`. null: none.",
    ),
  sapo_temperature_pos: z.number().positive().default(1).describe("Temperature of sapo at positive advantages."),
  sapo_temperature_neg: z.number().positive().default(1.05).describe("Temperature of sapo at all other advantages."),
  entropy_coefficient: z
    .number()
    .default(0)
    .describe("Weight of the entropy bonus, normalised as the loss is; negative, it is a penalty. 0: none."),
  top_entropy_quantile: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe(
      "Share of the tokens of a rollout batch that advantages act on, those of the highest entropy; the paper has 0.2. 1: all.",
    ),
  mask_truncated_completions: z
    .boolean()
    .default(false)
    .describe("Leave completions that were cut at `max_completion_length` out of the loss; their rewards still count."),
  importance_sampling_correction: z
    .boolean()
    .default(false)
    .describe(
      "Multiply advantages by the ratio of the probabilities that completions are trained under and were sampled under: for " +
        "top_k, top_p, min_p, repetition_penalty, and arithmetic that differs. Costs a forward pass per rollout batch.",
    ),
  importance_sampling_mode: z
    .enum(["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
    .default("sequence_mask")
    .describe(
      "Of `importance_sampling_correction`: a ratio per token or per completion, and what happens to one beyond the limits: " +
        "set to the limit (truncate) or to 0 (mask).",
    ),
  importance_sampling_clip_max: z
    .number()
    .positive()
    .nullable()
    .default(3)
    .describe("Largest ratio of `importance_sampling_correction`. null: no limit."),
  importance_sampling_clip_min: z
    .number()
    .min(0)
    .nullable()
    .default(null)
    .describe("Smallest ratio of `importance_sampling_correction`. null: no limit."),
  advantage_estimator: z
    .enum(["group", "rloo", "reinforce_plus_plus_baseline", "gdpo", "pass_at_k"])
    .default("group")
    .describe(
      "How rewards become advantages: group (distance from the mean of the group, as GRPO), rloo (from the mean of the " +
        "others), reinforce_plus_plus_baseline (from the mean of the group, whitened over the batch), gdpo (each reward " +
        "normalised apart, then their weighted sum over the batch), pass_at_k (what the best of `pass_at_k` completions earns).",
    ),
  scale_rewards: z
    .union([z.enum(["auto", "group", "batch", "none"]), z.boolean()])
    .transform((value) => (value === true ? "group" : value === false ? "none" : value))
    .prefault("auto")
    .describe(
      "What advantages are divided by: the standard deviation of the group (or true), of the batch, or nothing (or false). " +
        "auto: as `advantage_estimator` is defined, which is the group for group and pass_at_k, nothing for rloo, and the " +
        "batch for the others.",
    ),
  pass_at_k: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Completions of which the best counts, less than `num_generations`; for `advantage_estimator` pass_at_k.",
    ),
  dynamic_sampling: z
    .boolean()
    .default(false)
    .describe(
      "Draw the completions of a prompt again, with other draws, where all its advantages are 0. The same prompt is drawn " +
        "again, so that the order of the data and the number of steps stay what they are.",
    ),
  dynamic_sampling_tries: z.int().min(1).default(3).describe("Times that is tried at most in each rollout batch."),
  drop_zero_variance_groups: z
    .boolean()
    .default(false)
    .describe(
      "Leave prompts whose advantages are all 0 out of the updates; what a token weighs is then normalised over the others. " +
        "Every update keeps at least one prompt.",
    ),
  num_iterations: z.int().min(1).default(1).describe("Times a rollout batch is trained on."),
};
