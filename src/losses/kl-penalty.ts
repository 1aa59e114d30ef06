/**
 * The KL term in the reward rather than in the loss: what a completion earned, less beta times the sum over its tokens of
 * the estimator. As a part of the reward it is no longer differentiated; it moves the policy through the advantages.
 *
 * Source: InstructGPT (arXiv 2203.02155), equation 2. verl `use_kl_in_reward` with `kl_penalty`, ms-swift `kl_in_reward`;
 * TRL's GRPO has none. With k1 its expected gradient is that of KL(policy || reference); with k1 in the loss it is 0, with
 * k2 in the loss it is the same (arXiv 2510.01555).
 *
 * @module
 */

import { logprobDifferences } from "./importance.js";
import type { KlEstimator } from "./objectives.js";

/** d = reference - policy. */
const ESTIMATORS: Readonly<Record<KlEstimator, (d: number) => number>> = {
  k1: (d) => -d,
  k2: (d) => (d * d) / 2,
  k3: (d) => Math.expm1(d) - d,
};

/**
 * @param policy [N][T] log-probabilities under the policy before its first update
 * @param reference [N][T] under the reference
 * @returns [N] the sum of the estimator over the tokens of each completion
 * @throws RangeError for different shapes and for what is not a number
 */
export function klOfCompletions(
  policy: readonly ArrayLike<number>[],
  reference: readonly ArrayLike<number>[],
  estimator: KlEstimator = "k1",
): number[] {
  const estimate = ESTIMATORS[estimator];
  return logprobDifferences(reference, policy).map((own) => own.reduce((sum, d) => sum + estimate(d), 0));
}
