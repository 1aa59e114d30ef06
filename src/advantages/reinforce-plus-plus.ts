/**
 * REINFORCE++ with the baseline of the group: centred within the group, then whitened over the whole batch.
 *
 * Source: REINFORCE++ (arXiv 2501.03262), section 3 ("REINFORCE++-baseline"). Whitened over completions; verl and OpenRLHF
 * whiten over tokens, so that there a long completion counts more in the deviation.
 *
 * @module
 */

import { mean } from "../stats/index.js";
import { divideByBatch, known, spread, type Rewards } from "./known.js";

/**
 * @param rewards rewards[prompt][completion], any scale; null where a completion could not be judged
 * @returns advantages of the same shape, of deviation 1 over the batch; a group without spread gets zeros, and so does a
 *   null, which is left out of means and deviations
 */
export function reinforcePlusPlusAdvantages(rewards: Rewards): number[][] {
  const centred = rewards.map((group) => {
    const centre = mean(known(group));
    // Exactly 0 where nothing is to be told apart, whatever rounding the mean suffered.
    const flat = spread(group) === 0;
    return group.map((reward) => (reward === null || centre === null ? null : flat ? 0 : reward - centre));
  });
  return divideByBatch(centred);
}
