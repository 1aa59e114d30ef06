/**
 * Rewards and their weights: from what a user writes to what a step scores.
 *
 * @module
 */

import { ConfigError } from "../errors.js";
import { builtInRewards, type BuiltInRewardName, type BuiltInRewardOptions } from "./built-in.js";
import { isReward, type Reward } from "./define.js";

/**
 * Rewards by name: the weight of a built-in one, or an own one (weight 1), or an own one with its weight.
 *
 * @example
 * { fidelity: 1, format: 0.5, brief: { reward: brief, weight: 0.2 } }
 */
export type RewardRecord = Readonly<
  Record<string, number | Reward | { readonly reward: Reward; readonly weight?: number }>
>;

/** Rewards in a list: a built-in one by name, or an own one, with a weight or 1. */
export type RewardList = readonly (string | Reward | { readonly reward: string | Reward; readonly weight?: number })[];

export interface WeightedReward {
  /** Names it in breakdowns, metrics and errors. */
  readonly name: string;
  readonly reward: Reward;
  readonly weight: number;
}

/** What `combineRewards` makes: names are unique, weights finite. */
export type RewardSet = readonly WeightedReward[];

/** Other names of built-in rewards; results carry the name on the right. */
const ALIASES: Readonly<Record<string, BuiltInRewardName>> = { accuracy: "fidelity" };

/**
 * @param rewards a record by name, or a list
 * @param options of the built-in rewards that are given by name
 * @throws ConfigError CONFIG_REWARD_NONE, CONFIG_REWARD_UNKNOWN, CONFIG_REWARD_WEIGHT, CONFIG_REWARD_TWICE
 */
export function combineRewards(rewards: RewardRecord | RewardList, options: BuiltInRewardOptions = {}): RewardSet {
  const set = isList(rewards) ? fromList(rewards, options) : fromRecord(rewards, options);
  if (set.length === 0) {
    throw new ConfigError(
      "CONFIG_REWARD_NONE",
      `there is no reward. Give at least one, for example { fidelity: 1, format: 1 }.`,
    );
  }
  set.forEach(({ name, weight }, index) => {
    if (!Number.isFinite(weight)) {
      throw new ConfigError(
        "CONFIG_REWARD_WEIGHT",
        `the weight of the reward "${name}" is ${weight}; expected a finite number.`,
      );
    }
    if (set.findIndex((other) => other.name === name) < index) {
      throw new ConfigError(
        "CONFIG_REWARD_TWICE",
        `the reward "${name}" is given twice (accuracy is another name of fidelity). Give it once, with the sum of the weights.`,
      );
    }
  });
  return set;
}

/**
 * Refuses at start-up what can never give a reward.
 *
 * @throws ConfigError CONFIG_TOO_FEW_IMAGES, CONFIG_TOO_FEW_GENERATIONS
 */
export function checkRewards(
  rewards: RewardSet,
  plan: { readonly promptsPerStep: number; readonly numGenerations: number },
): void {
  const { promptsPerStep, numGenerations } = plan;
  for (const { name, reward } of rewards) {
    if (promptsPerStep >= reward.minimumPrompts) continue;
    throw new ConfigError(
      "CONFIG_TOO_FEW_IMAGES",
      `prompts_per_step is ${promptsPerStep}, and the ${name} reward compares pictures with each other: it needs at least ${reward.minimumPrompts}. Raise prompts_per_step, or use a reward of scope "score".`,
      { fields: { reward: name, promptsPerStep } },
    );
  }
  if (numGenerations < 2) {
    throw new ConfigError(
      "CONFIG_TOO_FEW_GENERATIONS",
      `num_generations is ${numGenerations}, and an advantage is what a completion earns above its siblings: it needs at least 2. Raise num_generations.`,
      { fields: { numGenerations } },
    );
  }
}

function isList(rewards: RewardRecord | RewardList): rewards is RewardList {
  return Array.isArray(rewards);
}

function fromList(list: RewardList, options: BuiltInRewardOptions): WeightedReward[] {
  return list.map((entry) => {
    const { reward: given, weight = 1 } = typeof entry === "string" || isReward(entry) ? { reward: entry } : entry;
    const reward = typeof given === "string" ? builtIn(given, options) : given;
    return { name: reward.name, reward, weight };
  });
}

function fromRecord(record: RewardRecord, options: BuiltInRewardOptions): WeightedReward[] {
  return Object.entries(record).map(([name, entry]) => {
    if (typeof entry === "number") {
      const reward = builtIn(name, options);
      return { name: reward.name, reward, weight: entry };
    }
    const { reward, weight = 1 } = isReward(entry) ? { reward: entry } : entry;
    return { name, reward, weight };
  });
}

function builtIn(name: string, options: BuiltInRewardOptions): Reward {
  const known = ALIASES[name] ?? name;
  if (isBuiltIn(known)) return builtInRewards[known](options);
  const names = [...Object.keys(builtInRewards), ...Object.keys(ALIASES)].join(", ");
  throw new ConfigError(
    "CONFIG_REWARD_UNKNOWN",
    `there is no built-in reward "${name}". Known are ${names}; an own reward is given as { reward: defineReward(...), weight }.`,
    { fields: { reward: name } },
  );
}

function isBuiltIn(name: string): name is BuiltInRewardName {
  return Object.hasOwn(builtInRewards, name);
}
