/**
 * Rewards that compare scores with labels as numbers need both on one scale.
 *
 * @module
 */

import { RewardError } from "../errors.js";
import type { RatedGroup } from "./pairs.js";
import { SCORE_RANGE } from "./parse.js";

/** @throws RewardError REWARD_MOS_SCALE when a label lies outside the range of scores */
export function checkScale(reward: string, groups: readonly RatedGroup[]): void {
  const { minimum, maximum } = SCORE_RANGE;
  const outside = groups.find(({ mos }) => !(mos >= minimum && mos <= maximum));
  if (outside === undefined) return;
  throw new RewardError(
    "REWARD_MOS_SCALE",
    `${reward} compares scores with opinion scores as numbers, and data set "${outside.dataset}" has the opinion score ${outside.mos}, outside ${minimum} to ${maximum}. Bring the labels to that range, or use a reward that only ranks: fidelity, win_probability, binary.`,
    { fields: { reward, dataset: outside.dataset, mos: outside.mos } },
  );
}
