/**
 * What `bench/ranking.ts` compares: the rewards of a run, the rest being equal, and supervised training beside them.
 *
 * Every condition with rewards pays the layout of an answer as well, with half the weight, and differs in what is paid for
 * the score.
 *
 * @module
 */
import type { ConfigInput, SftConfigInput } from "../../src/config/index.js";
import type { Reward, RewardRecord } from "../../src/rewards/index.js";
import {
  gaussianReward,
  labelsPermutedEachStep,
  labelsPermutedOnce,
  permutedRewards,
  type LabelledRow,
} from "./controls.js";

/** What the rewards of a run may depend on. */
export interface ConditionContext {
  /** Of the run. */
  readonly seed: number;
  /** The rows it trains on. */
  readonly rows: readonly LabelledRow[];
}

interface Named {
  readonly name: string;
  /** Nothing about the order of pictures can be learnt from it. */
  readonly control: boolean;
}

/** Reinforcement learning. */
export interface RewardCondition extends Named {
  readonly kind: "rewards";
  /** Built-in rewards for the score, with their weights. */
  readonly pays: Readonly<Record<string, number>>;
  /** A control: makes `pays` worthless under the condition's name. */
  readonly worthless?: (context: ConditionContext, pays: RewardRecord) => Reward;
  /** Settings besides the common ones. */
  readonly overrides?: Partial<ConfigInput>;
}

/** Supervised training on answers with the labels in them. */
export interface AnswerCondition extends Named {
  readonly kind: "answers";
  /** Settings besides those of run_scripts/tiny-checkpoints/sft.yaml. */
  readonly overrides: Partial<SftConfigInput>;
}

export type Condition = RewardCondition | AnswerCondition;

/** Settings of every run with rewards, those of configs/quickstart.yaml; `--set` changes them. */
export const commonSettings = {
  question_template: "{Question}",
  torch_dtype: "float32",
  device: "cpu",
  worker_threads: 1,
  prompts_per_step: 32,
  num_generations: 6,
  max_completion_length: 24,
  scale_rewards: "group",
  beta: 0.04,
  learning_rate: 1.5e-3,
  lr_scheduler_type: "linear",
  warmup_steps: 15,
  max_steps: 150,
  // What the tower sees was taught before; here it is what the model says of it that is trained.
  freeze_vision_modules: true,
} as const satisfies Partial<ConfigInput>;

export const LAYOUT_WEIGHT = 0.5;

/** Steps that take about the processor time of 150 steps with rewards; `cpuSeconds` of the results says how nearly. */
const SFT_STEPS = 280;

const paying = (name: string): RewardCondition => ({ kind: "rewards", name, control: false, pays: { [name]: 1 } });

/** A control on the reward that learns from zero. */
const control = (name: string, worthless: NonNullable<RewardCondition["worthless"]>): RewardCondition => ({
  kind: "rewards",
  name,
  control: true,
  pays: { win_probability: 1 },
  worthless,
});

export const conditions: readonly Condition[] = [
  paying("win_probability"),
  { ...paying("fidelity"), name: "fidelity_warmup", overrides: { fidelity_warmup: "win_probability" } },
  paying("fidelity"),
  paying("binary"),
  paying("margin"),
  paying("regression"),
  { kind: "answers", name: "sft_true", control: false, overrides: { max_steps: SFT_STEPS } },
  control("labels_permuted_once", ({ seed, rows }, rewards) =>
    labelsPermutedOnce({ name: "labels_permuted_once", seed, rows, rewards }),
  ),
  control("labels_permuted_each_step", ({ seed }, rewards) =>
    labelsPermutedEachStep({ name: "labels_permuted_each_step", seed, rewards }),
  ),
  control("rewards_permuted", ({ seed }, rewards) => permutedRewards({ name: "rewards_permuted", seed, rewards })),
  control("gaussian", ({ seed }) => gaussianReward({ name: "gaussian", seed })),
];

/** @returns the condition of a name. @throws Error for a name that is none */
export function conditionOf(name: string): Condition {
  const found = conditions.find((condition) => condition.name === name);
  if (found !== undefined) return found;
  throw new Error(`there is no condition "${name}"; there are ${conditions.map((one) => one.name).join(", ")}.`);
}

/** What a run is paid for. */
export function rewardsOf({ name, pays, worthless }: RewardCondition, context: ConditionContext): RewardRecord {
  const forTheScore = worthless === undefined ? pays : { [name]: worthless(context, pays) };
  return { ...forTheScore, format: LAYOUT_WEIGHT };
}
