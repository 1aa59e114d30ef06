/**
 * Pass@k advantages: a completion is worth what the best of k completions earns when it is one of them.
 *
 * Every subset of k completions of a prompt is paid its best reward. A completion's advantage is the mean pay of the subsets
 * it belongs to, above the mean of all subsets, divided by their deviation. With rewards 0 and 1 that is the closed form of
 * the paper: with m of n completions wrong, `R = 1 - C(m, k) / C(n, k)` and `s = sqrt(R (1 - R))`, a right one gets
 * `(1 - R) / s` and a wrong one `(1 - R - C(m - 1, k - 1) / C(n - 1, k - 1)) / s`. With any other rewards it is the same
 * mean over all subsets, computed from the order of the rewards: best-of-k instead of pass@k.
 *
 * Source: Pass@k training (arXiv 2508.10751), equations 10 to 15; best-of-k: PKPO (arXiv 2505.15201).
 *
 * @module
 */

import { known, STD_FLOOR, type Rewards } from "./known.js";

export interface PassAtKOptions {
  /** Completions of a subset. 1 is the ordinary group advantage (with the deviation that divides by n). */
  readonly k: number;
  /** Divide by the deviation of the subsets, or not at all. Default "group". */
  readonly scale?: "group" | "none";
}

/**
 * @param rewards rewards[prompt][completion], any scale; null where a completion could not be judged
 * @returns advantages of the same shape; zeros where all subsets earn the same, which is always so where no more than k
 *   completions could be judged, and also where fewer than k are below the best
 * @throws RangeError when k is not an integer from 1
 */
export function passAtKAdvantages(rewards: Rewards, options: PassAtKOptions): number[][] {
  const { k, scale = "group" } = options;
  if (!Number.isInteger(k) || k < 1) throw new RangeError(`passAtKAdvantages: k is ${k}; expected an integer from 1.`);
  return rewards.map((group) => {
    const ascending = known(group).toSorted((a, b) => a - b);
    const values = advantagesByRank(ascending, k, scale);
    return group.map((reward) => (reward === null ? 0 : values[ascending.indexOf(reward)]!));
  });
}

/** @param ascending [n] rewards in rising order; of equal ones the first stands for all */
function advantagesByRank(ascending: readonly number[], k: number, scale: "group" | "none"): number[] {
  const { length: count } = ascending;
  // The worst that a subset can earn is the k-th smallest reward.
  if (count <= k || ascending[k - 1] === ascending[count - 1]) return ascending.map(() => 0);

  // C(rank, k - 1) of all C(n, k) subsets have their best at this rank.
  const best = ascending.map((reward, rank) => ({ reward, share: chosen(rank, count - 1, k - 1) * (k / count) }));
  const centre = best.reduce((sum, { reward, share }) => sum + share * reward, 0);
  const variance = best.reduce((sum, { reward, share }) => sum + share * (reward - centre) ** 2, 0);
  const divisor = scale === "none" ? 1 : Math.sqrt(variance) + STD_FLOOR;

  const advantages: number[] = [];
  // Of the subsets with a given completion, those whose best is another one of higher rank.
  let above = 0;
  for (let rank = count - 1; rank >= 0; rank -= 1) {
    const reward = ascending[rank]! - centre;
    advantages[rank] = (reward * chosen(rank, count - 1, k - 1) + above) / divisor;
    if (k > 1) above += reward * chosen(rank - 1, count - 2, k - 2) * ((k - 1) / (count - 1));
  }
  return advantages;
}

/** C(part, k) / C(whole, k): the share of all choices of k that stay within the part. */
function chosen(part: number, whole: number, k: number): number {
  let share = 1;
  for (let drawn = 0; drawn < k; drawn += 1) share *= Math.max(0, part - drawn) / (whole - drawn);
  return share;
}
