/**
 * Warm-up of the fidelity reward: `win_probability` is paid in its place until the model ranks well enough for it.
 *
 * A constant answer earns a fidelity of sqrt(1/2) = 0.707, a random one about 0.59, so a model that does not rank yet is paid
 * for pulling all answers together. Win probability pays both 1/2. Where fidelity begins to pay more than a constant answer
 * would on the same pairs is measured in every rollout batch; in a simulation it is at a correlation of about 0.4 between
 * the scores and the labels (docs/decisions/0006-when-fidelity-takes-over.md).
 *
 * The state is a plain value: it is handed in and comes back, and a checkpoint holds it.
 *
 * @module
 */

import { ConfigError } from "../errors.js";
import { mean } from "../stats/index.js";
import { batchSrcc } from "./batch-srcc.js";
import { builtInRewards, ratedGroupsOf, type BuiltInRewardOptions } from "./built-in.js";
import type { RewardSet } from "./combine.js";
import type { RewardGroup, ScoredRewards } from "./score.js";

/** Where a warm-up stands. */
export interface FidelityWarmup {
  /** Rollout batches looked at. */
  readonly batches: number;
  /** What fidelity pays more than a constant answer would earn, averaged over the last rollout batches; null before the first. */
  readonly surplus: number | null;
  /** Correlation within the rollout batch (`batchSrcc`), averaged over the last rollout batches; null before the first. */
  readonly srcc: number | null;
  /** Rollout batches after which fidelity took over; null while win_probability is paid. */
  readonly endedAfter: number | null;
}

/** When the warm-up ends: both averages are above their limits, and at least `batches` rollout batches have been seen. */
export interface FidelityWarmupOptions {
  /**
   * What the average of `batchSrcc` must exceed. Default 0.45: above the break-even, which lies at 0.37 or, with a larger
   * variance floor, lower, so that a surplus without a ranking ends nothing.
   */
  readonly srcc?: number;
  /** What the average surplus must exceed. Default 0.01, about its own standard error with batches of 24 x 6. */
  readonly margin?: number;
  /**
   * Rollout batches that an average looks back on: the mean of the first ones, then exponential with a weight of
   * 1 / batches for the newest. Default 10.
   */
  readonly batches?: number;
}

/** `FidelityWarmupOptions` where nothing is given. */
export const fidelityWarmupDefaults = { srcc: 0.45, margin: 0.01, batches: 10 } as const;

/** A rollout batch that has been scored with the rewards of `withFidelityWarmup`. */
export interface WarmupBatch {
  readonly groups: readonly RewardGroup[];
  readonly scored: ScoredRewards;
}

const FIDELITY = "fidelity";
const STAND_IN = "win_probability";

/** A warm-up that has not seen anything. */
export function createFidelityWarmup(): FidelityWarmup {
  return { batches: 0, surplus: null, srcc: null, endedAfter: null };
}

/**
 * The rewards to score the next rollout batch with. Both fidelity and win_probability are in it, so that both are measured
 * all along; during the warm-up win_probability has fidelity's weight on top of its own, if it has one, and fidelity has none.
 *
 * @param rewards a set in which the built-in fidelity is
 * @param options of win_probability: those that fidelity was made with
 * @throws ConfigError CONFIG_FIDELITY_WARMUP when there is no fidelity, or it cannot say what a constant answer earns
 */
export function withFidelityWarmup(
  rewards: RewardSet,
  warmup: FidelityWarmup,
  options: BuiltInRewardOptions = {},
): RewardSet {
  const fidelity = rewards.find(({ name }) => name === FIDELITY);
  if (fidelity?.reward.constantAnswer === undefined) {
    throw new ConfigError(
      "CONFIG_FIDELITY_WARMUP",
      `fidelity_warmup is about the built-in reward fidelity, and the rewards are ${rewards.map(({ name }) => name).join(", ")}${fidelity === undefined ? "" : ", fidelity being one of your own"}. Give fidelity by its name and a weight, or leave fidelity_warmup out.`,
    );
  }
  const paid = warmup.endedAfter === null ? STAND_IN : FIDELITY;
  const standIn = { name: STAND_IN, reward: builtInRewards[STAND_IN](options), weight: 0 };
  const both = rewards.some(({ name }) => name === STAND_IN) ? rewards : [...rewards, standIn];
  if (paid === FIDELITY) return both;
  return both.map((one) => {
    if (one.name === FIDELITY) return { ...one, weight: 0 };
    return one.name === STAND_IN ? { ...one, weight: one.weight + fidelity.weight } : one;
  });
}

/**
 * The warm-up after one more rollout batch. Once over it stays over: then the state comes back as it is. A batch in which
 * a figure is not defined counts as 0 for it: it shows no ranking.
 *
 * @throws ConfigError CONFIG_FIDELITY_WARMUP when the batch was scored without fidelity
 */
export function advanceFidelityWarmup(
  warmup: FidelityWarmup,
  batch: WarmupBatch,
  options: FidelityWarmupOptions = {},
): FidelityWarmup {
  if (warmup.endedAfter !== null) return warmup;
  const { srcc: limit, margin, batches: window } = { ...fidelityWarmupDefaults, ...options };
  const batches = warmup.batches + 1;
  const weight = 1 / Math.min(batches, window);
  const average = (before: number | null, now: number | null): number =>
    (before ?? 0) + weight * ((now ?? 0) - (before ?? 0));
  const surplus = average(warmup.surplus, fidelitySurplus(batch.scored));
  const srcc = average(warmup.srcc, batchSrcc(ratedGroupsOf(batch.groups)));
  const over = batches >= window && surplus > margin && srcc > limit;
  return { batches, surplus, srcc, endedAfter: over ? batches : null };
}

/**
 * Mean fidelity of the answers that could be read, minus what a constant answer would earn on the same pairs. What cannot be
 * read earns 0 whatever the others do, so it says nothing about ranking and is left out.
 *
 * @returns null where nothing was compared
 * @throws ConfigError CONFIG_FIDELITY_WARMUP when the batch was scored without fidelity
 */
export function fidelitySurplus({ breakdown, parse, constantAnswers }: ScoredRewards): number | null {
  const values = breakdown[FIDELITY];
  if (values === undefined) {
    throw new ConfigError(
      "CONFIG_FIDELITY_WARMUP",
      `the batch was scored with ${Object.keys(breakdown).join(", ")}, so what fidelity would pay is not known. Score it with the rewards of withFidelityWarmup.`,
    );
  }
  const earned = mean(
    values
      .flatMap((group, prompt) => group.filter((_, sample) => parse[prompt]![sample] !== "failed"))
      .filter((value) => value !== null),
  );
  const constant = constantAnswers[FIDELITY] ?? null;
  return earned === null || constant === null ? null : earned - constant;
}
