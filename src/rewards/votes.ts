/**
 * Preferences without labels: which of two pictures the model itself prefers, by the majority of its own answers.
 *
 * Source: EvoQuality (arXiv 2509.25787). There the model is asked before training, many times, which of two pictures is the
 * better one, and the majority is the pseudo-label of the fidelity reward. Here nothing more is asked: each pair of scores
 * that a rollout batch gave the two pictures is a vote, so the pseudo-labels follow the model. Where no majority is found a
 * pair is left out, because a tie held equal would pay most to a model that gives all pictures the same score.
 *
 * @module
 */

import { ConfigError } from "../errors.js";

/**
 * Share of the votes for the first picture, `(#{s > t} + #{s = t} / 2) / (#s #t)` over all pairs of its scores s and the
 * other's scores t: the common-language effect size of Mann and Whitney's U.
 *
 * @returns null where one of them has no score
 */
export function voteShare(own: readonly number[], other: readonly number[]): number | null {
  if (own.length === 0 || other.length === 0) return null;
  const votes = own.flatMap((score) => other.map((against) => (1 + Math.sign(score - against)) / 2));
  return votes.reduce((sum, vote) => sum + vote, 0) / votes.length;
}

/**
 * @param agreement share of the votes that a majority must exceed, at least 0.5 and below 1
 * @returns 1 for the first picture, 0 for the other; null without a majority
 * @throws ConfigError CONFIG_VOTE_AGREEMENT
 */
export function majorityPreference(own: readonly number[], other: readonly number[], agreement = 0.5): 0 | 1 | null {
  if (!(agreement >= 0.5 && agreement < 1)) {
    throw new ConfigError(
      "CONFIG_VOTE_AGREEMENT",
      `a majority is to exceed ${agreement} of the votes; expected at least 0.5 and less than 1.`,
    );
  }
  const share = voteShare(own, other);
  if (share === null) return null;
  if (share > agreement) return 1;
  return voteShare(other, own)! > agreement ? 0 : null;
}
