/**
 * The objective that a configuration asks for, in the words of the losses room.
 *
 * @module
 */
import type { AdvantageOptions } from "../advantages/index.js";
import type { ResolvedConfig } from "../config/index.js";
import { objectiveOf } from "../losses/index.js";
import type { Objective, ObjectiveOptions } from "../losses/index.js";
import type { Corrections } from "./corrections.js";

/** Loss and normaliser, and what is corrected before them. */
export function configuredObjective(config: ResolvedConfig): Objective & { readonly corrections: Corrections } {
  const { beta, kl_estimator: estimator, kl_in_reward } = config;
  const objective = objectiveOf({
    lossType: config.loss_type,
    ratioLevel: config.importance_sampling_level,
    ...boundsOf(config),
    delta: config.delta,
    beta: kl_in_reward ? 0 : beta,
    kl: estimator,
    entropyCoefficient: config.entropy_coefficient,
  });
  return {
    ...objective,
    corrections: {
      importance: config.importance_sampling_correction
        ? {
            mode: config.importance_sampling_mode,
            clipMax: config.importance_sampling_clip_max,
            clipMin: config.importance_sampling_clip_min,
          }
        : null,
      topEntropyQuantile: config.top_entropy_quantile,
      maskTruncated: config.mask_truncated_completions,
      klInReward: kl_in_reward ? { beta, estimator } : null,
    },
  };
}

/** What bounds the ratio: of the keys that a resolved configuration has, those that the loss uses. */
function boundsOf(config: ResolvedConfig): ObjectiveOptions {
  const { loss_type, epsilon, epsilon_high: epsilonHigh } = config;
  if (loss_type === "sapo") {
    return { tauPositive: config.sapo_temperature_pos, tauNegative: config.sapo_temperature_neg };
  }
  return loss_type === "cispo" ? { epsilonHigh } : { epsilon, epsilonHigh };
}

/** How rewards become advantages. */
export function advantageOptions(config: ResolvedConfig): AdvantageOptions {
  const { advantage_estimator: estimator, scale_rewards: scale, pass_at_k } = config;
  // Which scales go with which estimator, and that pass_at_k is set, was checked when the configuration was resolved.
  return { estimator, scale, ...(pass_at_k !== null && { k: pass_at_k }) } as AdvantageOptions;
}
