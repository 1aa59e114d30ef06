/**
 * The comparisons behind the ranking rewards: which images meet, what their labels prefer, how sure the scores are.
 *
 * Source: VisualQuality-R1 (arXiv 2505.14460), equations 1 to 4; Thurstone, "A law of comparative judgment" (1927).
 *
 * @module
 */

import { ConfigError, RewardError } from "../errors.js";
import { mean, normalCdf, variance } from "../stats/index.js";
import { majorityPreference } from "./votes.js";

/** An image with the scores its completions gave it. */
export interface ComparedGroup {
  /** Only images of the same data set are compared. */
  readonly dataset: string;
  /** Mean opinion score, higher is better; needed unless the preference is "majority_vote". */
  readonly mos?: number | undefined;
  /** Standard deviation of the opinions, where known. */
  readonly mosStd?: number | undefined;
  /** [G] null where no score could be read. */
  readonly scores: readonly (number | null)[];
}

/** An image whose opinion score is known, with the scores its completions gave it. */
export interface RatedGroup extends ComparedGroup {
  readonly mos: number;
}

/** rewards[image][completion]; null where an image has no opponent. */
export type GroupRewards = (number | null)[][];

export interface ComparisonOptions {
  /** Images are compared within runs of this many, in the order given. Default: all with all. */
  readonly comparisonSet?: number;
  /** Compare a score with the other image's mean score, or take the mean over its single scores. Default "mean". */
  readonly opponent?: "mean" | "samples";
  /** Opinion scores at most this far apart are a tie. Default 0. */
  readonly tieBand?: number;
  /**
   * Which of two images is held to be better. `order`: as the labels are ordered (1, 0, or 0.5 for a tie). `soft`: where the
   * opinions' deviations of both are known, the probability that raters prefer one,
   * `Phi((mos_i - mos_k) / sqrt(sd_i^2 + sd_k^2))`. `majority_vote`: as most of the model's own scores say, without labels;
   * a pair without a majority is left out. Default "order".
   */
  readonly preference?: "order" | "soft" | "majority_vote";
  /** Share of the votes that a majority must exceed, for `majority_vote`. Default 0.5. */
  readonly voteAgreement?: number;
  /** Compare across data sets, as the reference would. Default false. */
  readonly acrossDatasets?: boolean;
}

export interface VarianceOptions {
  /**
   * Variance of an image's scores: `sample` (unbiased), `floored` (sample, at least the floor), `additive` (sample plus
   * the floor), `fixed` (the floor itself; Thurstone's case V). Default "floored".
   */
  readonly variance?: "sample" | "additive" | "floored" | "fixed";
  /** In squared score points; `sample` has none. Default 0.05, for `fixed` 1. */
  readonly varianceFloor?: number;
  /**
   * An image with fewer than two scores takes the mean variance of the batch, or its pairs count as undecided, as in
   * the reference. Default "batch".
   */
  readonly undefinedVariance?: "batch" | "undecided";
}

/** Another image as one image meets it. */
export interface Opponent {
  /** Position among the groups. */
  readonly index: number;
  /** Its mean score, or its single scores. */
  readonly scores: readonly number[];
  /** Probability with which the image that meets it is held to be the better one. */
  readonly preference: number;
  /** Opinion score of the image minus that of the opponent; NaN where one is not known. */
  readonly mosGap: number;
}

/** Keeps groups that agree from making every small gap a certain one: with it on both sides, a gap of 0.3 has p = 0.83. */
const VARIANCE_FLOOR = 0.05;

/** Scores that could be read. */
export function validScores(group: ComparedGroup): number[] {
  return group.scores.filter((score) => score !== null);
}

/** @returns [image] everyone that image is compared with. An image without a single valid score is nobody's opponent. */
export function opponentsOf(groups: readonly ComparedGroup[], options: ComparisonOptions = {}): Opponent[][] {
  const { opponent = "mean", acrossDatasets = false, comparisonSet = Math.max(2, groups.length) } = options;
  if (!Number.isInteger(comparisonSet) || comparisonSet < 2) {
    throw new ConfigError(
      "CONFIG_COMPARISON_SET",
      `the comparison set is ${comparisonSet}: pictures are compared with each other, so it takes a whole number of at least 2.`,
    );
  }
  const scores = groups.map((group) => {
    const valid = validScores(group);
    return opponent === "samples" ? valid : valid.length > 0 ? [mean(valid)!] : [];
  });
  // Plain loops: a step with 256 pictures has 65,280 comparisons, of six completions each.
  return groups.map((own, index) => {
    const met: Opponent[] = [];
    const first = index - (index % comparisonSet);
    const end = Math.min(first + comparisonSet, groups.length);
    for (let other = first; other < end; other += 1) {
      const group = groups[other]!;
      if (other === index || scores[other]!.length === 0) continue;
      if (!acrossDatasets && group.dataset !== own.dataset) continue;
      const preference = preferenceOf(own, group, options);
      if (preference === null) continue;
      const mosGap = (own.mos ?? Number.NaN) - (group.mos ?? Number.NaN);
      met.push({ index: other, scores: scores[other]!, preference, mosGap });
    }
    return met;
  });
}

/** @returns null where nothing is known of the two */
function preferenceOf(own: ComparedGroup, other: ComparedGroup, options: ComparisonOptions): number | null {
  const { tieBand = 0, preference = "order", voteAgreement } = options;
  if (preference === "majority_vote") return majorityPreference(validScores(own), validScores(other), voteAgreement);
  if (own.mos === undefined || other.mos === undefined) throw withoutLabel(own.dataset, preference);
  const gap = own.mos - other.mos;
  if (Math.abs(gap) <= tieBand) return 0.5;
  if (preference === "soft" && own.mosStd !== undefined && other.mosStd !== undefined) {
    return normalCdf(gap / Math.hypot(own.mosStd, other.mosStd));
  }
  return gap > 0 ? 1 : 0;
}

function withoutLabel(dataset: string, preference: string): RewardError {
  return new RewardError(
    "REWARD_NO_LABEL",
    `data set "${dataset}" has a picture without an opinion score, and the preference "${preference}" comes from those. Add the score, or use the preference "majority_vote", which needs none.`,
    { fields: { dataset, preference } },
  );
}

/** @returns [image] variance of its scores after the option; NaN where it counts as undecided */
export function scoreVariances(groups: readonly ComparedGroup[], options: VarianceOptions = {}): number[] {
  const { variance: kind = "floored", undefinedVariance = "batch" } = options;
  const { varianceFloor = kind === "fixed" ? 1 : VARIANCE_FLOOR } = options;
  if (kind === "fixed") return groups.map(() => varianceFloor);
  const samples = groups.map((group) => variance(validScores(group)));
  const typical = undefinedVariance === "batch" ? (mean(samples.filter((sample) => sample !== null)) ?? 0) : NaN;
  return samples.map((sample) => {
    const own = sample ?? typical;
    if (kind === "floored") return Math.max(own, varianceFloor);
    return kind === "additive" ? own + varianceFloor : own;
  });
}

/**
 * The mean of a reward over all pairs a completion takes part in.
 *
 * @param rewardOf reward of one score of image `own` against one score of the opponent
 * @returns a completion whose score could not be read earns 0; an image without opponent gets null throughout
 */
export function averageOverPairs(
  groups: readonly ComparedGroup[],
  options: ComparisonOptions,
  rewardOf: (score: number, opponentScore: number, opponent: Opponent, own: number) => number,
): GroupRewards {
  const opponents = opponentsOf(groups, options);
  return groups.map((group, own) => {
    const met = opponents[own]!;
    return group.scores.map((score) => {
      if (met.length === 0) return null;
      if (score === null) return 0;
      let sum = 0;
      for (const opponent of met) {
        let ofOpponent = 0;
        for (const other of opponent.scores) ofOpponent += rewardOf(score, other, opponent, own);
        sum += ofOpponent / opponent.scores.length;
      }
      // A plain mean stays within the range of its values, which the corrected mean of stats need not.
      return sum / met.length;
    });
  });
}
