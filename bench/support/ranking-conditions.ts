/**
 * What `bench/ranking.ts` compares: the rewards of a run, the rest being equal.
 *
 * Every condition pays the layout of an answer as well, with half the weight, and differs in what is paid for the score.
 *
 * @module
 */
import type { ConfigInput } from "../../src/config/index.js";
import type { RewardRecord } from "../../src/rewards/index.js";
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

export interface Condition {
  readonly name: string;
  /** Nothing about the order of pictures can be learnt from it. */
  readonly control: boolean;
  rewards(context: ConditionContext): RewardRecord;
  /** Settings besides the common ones. */
  readonly overrides?: Partial<ConfigInput>;
}

/** Settings of every run, those of configs/quickstart.yaml; `--set` changes them. */
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

const LAYOUT_WEIGHT = 0.5;

const paying = (name: string, more: Partial<Condition> = {}): Condition => ({
  name,
  control: false,
  rewards: () => ({ [name]: 1, format: LAYOUT_WEIGHT }),
  ...more,
});

/** A control on the reward that learns from zero. */
function control(name: string, rewardOf: (context: ConditionContext) => RewardRecord[string]): Condition {
  return {
    name,
    control: true,
    rewards: (context) => ({ [name]: rewardOf(context), format: LAYOUT_WEIGHT }),
  };
}

const real: RewardRecord = { win_probability: 1 };

export const conditions: readonly Condition[] = [
  paying("win_probability"),
  {
    name: "fidelity_warmup",
    control: false,
    rewards: () => ({ fidelity: 1, format: LAYOUT_WEIGHT }),
    overrides: { fidelity_warmup: "win_probability" },
  },
  paying("fidelity"),
  paying("binary"),
  paying("margin"),
  paying("regression"),
  control("labels_permuted_once", ({ seed, rows }) =>
    labelsPermutedOnce({ name: "labels_permuted_once", seed, rows, rewards: real }),
  ),
  control("labels_permuted_each_step", ({ seed }) =>
    labelsPermutedEachStep({ name: "labels_permuted_each_step", seed, rewards: real }),
  ),
  control("rewards_permuted", ({ seed }) => permutedRewards({ name: "rewards_permuted", seed, rewards: real })),
  control("gaussian", ({ seed }) => gaussianReward({ name: "gaussian", seed })),
];
