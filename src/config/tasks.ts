/**
 * What a configuration is for, and which keys only the other task reads. All tasks share one flat namespace; a key that
 * cannot matter is an error, so that nobody waits for the effect of a setting that has none.
 *
 * @module
 */
import path from "node:path";
import { scaleOf } from "./advantage-checks.js";
import { batchSizes } from "./batch-arithmetic.js";
import { defaultVarianceFloor } from "./checks.js";
import { objectiveKeys } from "./keys/objective.js";
import { rewardKeys } from "./keys/rewards.js";
import { samplingKeys } from "./keys/sampling.js";
import { supervisedKeys } from "./keys/supervised.js";
import { defaultEpsilonHigh, defaultRatioLevel } from "./objective-checks.js";
import { referenceComparisonSet } from "./reference-parity.js";
import type {
  ConfigKey,
  ParsedConfig,
  ReinforcementKey,
  ResolvedConfig,
  ResolvedSftConfig,
  SupervisedKey,
} from "./schema.js";

/** Rows of an update of `sft` where nothing is said; as in transformers. */
const DEFAULT_ROWS = 8;

/** Evaluation writes answers for both tasks, so their length is nobody's own. */
const EVALUATION_KEYS: readonly ConfigKey[] = ["max_completion_length"];

const SUPERVISED_KEYS = Object.keys(supervisedKeys) as readonly SupervisedKey[];
const REINFORCEMENT_KEYS = [
  ...Object.keys({ ...samplingKeys, ...rewardKeys, ...objectiveKeys }),
  "prompts_per_step",
  "log_completions",
].filter((key) => !EVALUATION_KEYS.includes(key as ConfigKey)) as readonly ReinforcementKey[];

/** A task's view of the namespace. */
export interface Task<Config> {
  /** As on the command line. */
  readonly name: "train" | "sft";
  /** Keys that only the other task reads; a resolved configuration does not have them. */
  readonly foreignKeys: readonly ConfigKey[];
  /** Why such a key cannot be set. */
  readonly foreignReason: string;
  /** Fills in what follows from other keys. */
  readonly derive: (parsed: ParsedConfig) => Config;
}

/** Reinforcement learning. */
export const TRAIN: Task<ResolvedConfig> = {
  name: "train",
  foreignKeys: SUPERVISED_KEYS,
  foreignReason: 'only "thurstone sft" reads it; reinforcement learning trains on sampled completions',
  derive: (parsed) => ({
    ...parsed,
    ...sharedValues(parsed),
    batch_datasets: parsed.batch_datasets ?? "one",
    prompts_per_step: batchSizes(parsed).promptsPerStep,
    reward_weights: parsed.reward_weights ?? parsed.reward_funcs.map(() => 1),
    fidelity_variance_floor: parsed.fidelity_variance_floor ?? defaultVarianceFloor(parsed.fidelity_variance),
    comparison_set: referenceComparisonSet(parsed),
    epsilon_high: parsed.epsilon_high ?? defaultEpsilonHigh(parsed),
    importance_sampling_level: parsed.importance_sampling_level ?? defaultRatioLevel(parsed),
    scale_rewards: scaleOf(parsed),
  }),
};

/** Fine-tuning on given answers. */
export const SFT: Task<ResolvedSftConfig> = {
  name: "sft",
  foreignKeys: REINFORCEMENT_KEYS,
  foreignReason: 'only "thurstone train" reads it; supervised fine-tuning draws no completions and pays no rewards',
  derive: (parsed) => ({
    ...parsed,
    ...sharedValues(parsed),
    // Nothing is compared within a batch.
    batch_datasets: parsed.batch_datasets ?? "mixed",
    per_device_train_batch_size: parsed.per_device_train_batch_size ?? DEFAULT_ROWS,
  }),
};

/** By name. */
export const TASKS = { train: TRAIN, sft: SFT } as const;

function sharedValues(parsed: ParsedConfig): Pick<ResolvedConfig, "data_seed" | "eval_estimators" | "run_name"> {
  return {
    eval_estimators: parsed.eval_estimators ?? [parsed.eval_samples > 1 ? "sampled" : "greedy"],
    data_seed: parsed.data_seed ?? parsed.seed,
    run_name: parsed.run_name ?? path.basename(path.resolve(parsed.output_dir)),
  };
}
