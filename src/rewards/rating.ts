/**
 * Rating rewards: a completion is paid for being near the label, image by image. The labels have to be on the scale of
 * the scores, 1 to 5. A completion whose score could not be read earns 0.
 *
 * @module
 */

import type { GroupRewards, RatedGroup } from "./pairs.js";
import { checkScale } from "./scale.js";

export interface ThresholdOptions {
  /** Scores nearer to the label than this earn 1, others 0. Default 0.35. */
  readonly threshold?: number;
}

/**
 * 1 if |s - mos| is below the threshold, else 0.
 *
 * Source: Q-Insight (arXiv 2503.22679).
 */
export function threshold(groups: readonly RatedGroup[], options: ThresholdOptions = {}): GroupRewards {
  const { threshold: limit = 0.35 } = options;
  return rate("threshold", groups, (error) => (error < limit ? 1 : 0));
}

/**
 * `1 - |s - mos| / 4`, in [0, 1].
 *
 * Source: the regression reward VisualQuality-R1 (arXiv 2505.14460) compares with.
 */
export function regression(groups: readonly RatedGroup[]): GroupRewards {
  return rate("regression", groups, (error) => Math.max(0, 1 - error / 4));
}

function rate(reward: string, groups: readonly RatedGroup[], rewardOf: (error: number) => number): GroupRewards {
  checkScale(reward, groups);
  return groups.map(({ mos, scores }) => scores.map((score) => (score === null ? 0 : rewardOf(Math.abs(score - mos)))));
}
