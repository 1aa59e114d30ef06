/**
 * Ranking rewards: a completion is paid for putting its image on the right side of the others.
 *
 * Notation: s a score of image i, mu_k and v_k mean and variance of the scores of image k, g the preference for i over k
 * (1, 0, 0.5 for a tie, or between them: ComparisonOptions.preference), `p = Phi((s - mu_k) / sqrt(v_i + v_k))`. Every reward
 * is the mean over the other images k of the same data set. A completion whose score could not be read earns 0 and is left
 * out of mu and v.
 *
 * @module
 */

import { mean, normalCdf } from "../stats/index.js";
import {
  averageOverPairs,
  opponentsOf,
  scoreVariances,
  type ComparedGroup,
  type ComparisonOptions,
  type GroupRewards,
  type Opponent,
  type RatedGroup,
  type VarianceOptions,
} from "./pairs.js";
import { withQuirks } from "./reference-quirks.js";
import { checkScale } from "./scale.js";

export interface ProbabilityOptions extends ComparisonOptions, VarianceOptions {}

export interface FidelityOptions extends ProbabilityOptions {
  /** Added inside both roots, as in the reference, where a reward may so reach 1.0010005. Default 0. */
  readonly rootEpsilon?: number;
  /** Compute as the reference's training code does: sets the flags of `referenceQuirks`, whatever else is given. */
  readonly referenceParity?: boolean;
}

/**
 * Fidelity of the predicted to the labelled preference, `sqrt(p g) + sqrt((1 - p)(1 - g))`, in [0, 1].
 *
 * Source: VisualQuality-R1 (arXiv 2505.14460), equation 3; the measure is that of FRank (Tsai et al., SIGIR 2007).
 */
export function fidelity(groups: readonly ComparedGroup[], options: FidelityOptions = {}): GroupRewards {
  const { rootEpsilon = 0, ...rest } = withQuirks(options);
  return averageProbability(groups, rest, (p, q, g) => {
    const overlap = Math.sqrt(p * g + rootEpsilon) + Math.sqrt(q * (1 - g) + rootEpsilon);
    return rootEpsilon === 0 ? Math.min(1, overlap) : overlap;
  });
}

/**
 * Probability of agreeing with the labels, `p g + (1 - p)(1 - g)`, in [0, 1].
 *
 * The expected value of `binary` under Thurstone's model (Thurstone 1927). It pays a constant answer no more than a random
 * one, 1/2, so it can start from a model that does not rank yet, where fidelity first pulls all answers together.
 */
export function winProbability(groups: readonly ComparedGroup[], options: ProbabilityOptions = {}): GroupRewards {
  return averageProbability(groups, options, (p, q, g) => p * g + q * (1 - g));
}

/**
 * 1 if s and mu_k are ordered as the labels, 0 if the other way round, 0.5 if either is a tie.
 *
 * Source: the binary reward VisualQuality-R1 (arXiv 2505.14460) compares with.
 */
export function binary(groups: readonly ComparedGroup[], options: ComparisonOptions = {}): GroupRewards {
  return averageOverPairs(groups, options, (score, other, { preference }) => {
    const agreement = Math.sign(score - other) * Math.sign(preference - 0.5);
    return (1 + agreement) / 2;
  });
}

/**
 * How near the gap of the scores is to the gap of the labels, `1 - min(1, |(s - mu_k) - (mos_i - mos_k)| / 4)`.
 * The labels have to be on the scale of the scores, 1 to 5.
 *
 * Source: the margin reward of MR-IQA (arXiv 2606.29760), scaled by the width of the range.
 */
export function margin(groups: readonly RatedGroup[], options: ComparisonOptions = {}): GroupRewards {
  checkScale("margin", groups);
  return averageOverPairs(
    groups,
    options,
    (score, other, { mosGap }) => 1 - Math.min(1, Math.abs(score - other - mosGap) / 4),
  );
}

/**
 * Mean fidelity of a model that always gives the same answer, on the same pairs: `sqrt(g / 2) + sqrt((1 - g) / 2)`.
 * A model that earns no more than this does not rank.
 *
 * @returns null where no image has an opponent
 */
export function constantAnswerReward(groups: readonly ComparedGroup[], options: FidelityOptions = {}): number | null {
  const perImage = opponentsOf(groups, withQuirks(options))
    .filter((opponents) => opponents.length > 0)
    .map((opponents) => mean(opponents.map(({ preference }) => constantFidelity(preference)))!);
  return mean(perImage);
}

function constantFidelity(preference: number): number {
  return Math.sqrt(preference / 2) + Math.sqrt((1 - preference) / 2);
}

/** Averages a reward of (p, q = 1 - p, g); the smaller of p and q is computed as a tail, so it keeps its digits. */
function averageProbability(
  groups: readonly ComparedGroup[],
  options: ProbabilityOptions,
  rewardOf: (p: number, q: number, g: number) => number,
): GroupRewards {
  const variances = scoreVariances(groups, options);
  return averageOverPairs(groups, options, (score, other, opponent: Opponent, own) => {
    const difference = score - other;
    const deviation = Math.sqrt(variances[own]! + variances[opponent.index]!);
    const undecided = difference === 0 || Number.isNaN(deviation);
    const tail = undecided ? 0.5 : normalCdf(-Math.abs(difference) / deviation);
    const [p, q] = difference < 0 ? [tail, 1 - tail] : [1 - tail, tail];
    return rewardOf(p, q, opponent.preference);
  });
}
