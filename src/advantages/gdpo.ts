/**
 * Advantages from several rewards that are normalised apart: a reward of small spread is not drowned by one of large spread,
 * and two completions with the same total but other rewards are told apart.
 *
 * Source: GDPO (arXiv 2601.05242); TRL's `multi_objective_aggregation: normalize_then_sum`.
 *
 * @module
 */

import { groupAdvantages } from "./group.js";
import { divideByBatch, type Rewards } from "./known.js";

export interface GdpoOptions {
  /** Weight of each normalised reward, by name. Default 1 each; a reward of weight 0 does not count. */
  readonly weights?: Readonly<Record<string, number>>;
}

/**
 * Each reward is divided by its own deviation within the group; the weighted sum is then whitened over the batch.
 *
 * @param rewards by name, each rewards[prompt][completion]; null where a reward could not judge: it then adds nothing
 * @returns advantages of the same shape; 0 where no reward that counts could judge, left out of the deviation
 */
export function gdpoAdvantages(rewards: Readonly<Record<string, Rewards>>, options: GdpoOptions = {}): number[][] {
  const { weights = {} } = options;
  const shape = Object.values(rewards)[0] ?? [];
  const counted = Object.entries(rewards)
    .map(([name, values]) => ({ values, weight: weights[name] ?? 1, apart: groupAdvantages(values) }))
    .filter(({ weight }) => weight !== 0);
  return divideByBatch(
    shape.map((group, prompt) =>
      group.map((_, sample) => {
        if (counted.every(({ values }) => values[prompt]![sample] === null)) return null;
        return counted.reduce((sum, { weight, apart }) => sum + weight * apart[prompt]![sample]!, 0);
      }),
    ),
  );
}
