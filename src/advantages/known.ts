/**
 * Means and deviations that leave out what could not be judged.
 *
 * @module
 */

import { standardDeviation } from "../stats/index.js";

/** rewards[prompt][completion], any scale; null where a completion could not be judged. */
export type Rewards = readonly (readonly (number | null)[])[];

/** Keeps a group whose rewards nearly agree from dividing by zero; the value TRL uses. */
export const STD_FLOOR = 1e-4;

/** The values that there are. */
export function known(rewards: readonly (number | null)[]): number[] {
  return rewards.filter((reward) => reward !== null);
}

/** Standard deviation; exactly 0 where there is nothing to tell apart, whatever rounding the mean suffered. */
export function spread(rewards: readonly (number | null)[]): number {
  const values = known(rewards);
  return values.every((value) => value === values[0]) ? 0 : (standardDeviation(values) ?? 0);
}

/**
 * Divides what is already centred in every group by its deviation over the whole batch. Its mean over the batch is 0, so
 * that this is all that whitening has left to do.
 *
 * @returns the same shape; 0 for null
 */
export function divideByBatch(centred: Rewards): number[][] {
  const divisor = spread(centred.flat()) + STD_FLOOR;
  return centred.map((group) => group.map((value) => (value === null ? 0 : value / divisor)));
}
