/**
 * Leave-one-out advantages: how much better a completion did than the mean of the others of its prompt.
 *
 * Source: RLOO (arXiv 2402.14740), section 3; TRL's RLOOTrainer, whose `normalize_advantages` is the scale "batch".
 *
 * @module
 */

import { mean } from "../stats/index.js";
import { divideByBatch, known, spread, type Rewards } from "./known.js";

export interface LeaveOneOutOptions {
  /** Divide by the standard deviation of the advantages over the batch, or not at all. Default "none". */
  readonly scale?: "batch" | "none";
}

/**
 * `r_i - mean_{j != i} r_j`, which is `n / (n - 1)` times the distance from the mean of the group.
 *
 * @param rewards rewards[prompt][completion], any scale; null where a completion could not be judged
 * @returns advantages of the same shape; zeros where fewer than two completions could be judged, or all earned the same
 */
export function leaveOneOutAdvantages(rewards: Rewards, options: LeaveOneOutOptions = {}): number[][] {
  const { scale = "none" } = options;
  const centred = rewards.map((group) => {
    const { length: count } = known(group);
    // One completion alone has no others; as in TRL it does not count in the deviation of the batch either.
    if (count < 2) return group.map(() => null);
    const centre = spread(group) === 0 ? null : mean(known(group));
    return group.map((reward) => {
      if (reward === null) return null;
      return centre === null ? 0 : (reward - centre) * (count / (count - 1));
    });
  });
  return scale === "batch" ? divideByBatch(centred) : centred.map((group) => group.map((value) => value ?? 0));
}
