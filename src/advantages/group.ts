/**
 * Group-relative advantages: how much better a completion did than its siblings.
 *
 * Source: DeepSeekMath (arXiv 2402.03300), section 4.1; without the division: Dr. GRPO (arXiv 2503.20783); divided by the
 * deviation of all rewards of the batch: Lite PPO (arXiv 2508.08221).
 *
 * @module
 */

import { mean } from "../stats/index.js";
import { known, spread, STD_FLOOR, type Rewards } from "./known.js";

export interface GroupAdvantageOptions {
  /** Divide by the standard deviation of the group, of the whole batch, or not at all. Default "group". */
  readonly scale?: "group" | "batch" | "none";
}

/**
 * @param rewards rewards[prompt][completion], any scale; null where a completion could not be judged
 * @returns advantages of the same shape; a group without spread gets zeros, and so does a null, which is left out of
 *   means and deviations
 */
export function groupAdvantages(rewards: Rewards, options: GroupAdvantageOptions = {}): number[][] {
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
