/**
 * Group-relative advantages: how much better a completion did than its siblings.
 *
 * Source: DeepSeekMath (arXiv 2402.03300), section 4.1; without the division: Dr. GRPO (arXiv 2503.20783); over the whole
 * batch: REINFORCE++ (arXiv 2501.03262), here with the mean of the group.
 *
 * @module
 */

import { mean, standardDeviation } from "../stats/index.js";

export interface GroupAdvantageOptions {
  /** Divide by the standard deviation of the group, of the whole batch, or not at all. Default "group". */
  readonly scale?: "group" | "batch" | "none";
}

/** Keeps a group whose rewards nearly agree from dividing by zero; the value TRL uses. */
const STD_FLOOR = 1e-4;

/**
 * @param rewards rewards[prompt][completion], any scale; null where a completion could not be judged
 * @returns advantages of the same shape; a group without spread gets zeros, and so does a null, which is left out of
 *   means and deviations
 */
export function groupAdvantages(
  rewards: readonly (readonly (number | null)[])[],
  options: GroupAdvantageOptions = {},
): number[][] {
  const { scale = "group" } = options;
  const batchStd = scale === "batch" ? spread(rewards.flat()) : 0;
  return rewards.map((group) => {
    const centre = mean(known(group));
    const groupStd = spread(group);
    if (centre === null || groupStd === 0) return group.map(() => 0);
    const divisor = scale === "none" ? 1 : (scale === "batch" ? batchStd : groupStd) + STD_FLOOR;
    return group.map((reward) => (reward === null ? 0 : (reward - centre) / divisor));
  });
}

function known(rewards: readonly (number | null)[]): number[] {
  return rewards.filter((reward) => reward !== null);
}

/** Standard deviation; exactly 0 where there is nothing to tell apart, whatever rounding the mean suffered. */
function spread(rewards: readonly (number | null)[]): number {
  const values = known(rewards);
  return values.every((value) => value === values[0]) ? 0 : (standardDeviation(values) ?? 0);
}
