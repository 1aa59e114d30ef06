/**
 * The configuration's schema: all keys of all sections in one flat namespace, and the types made from it.
 *
 * Keys have the names of Hugging Face and TRL, in snake_case, in YAML, as flags and in TypeScript alike. Nothing is read
 * from environment variables. Relative paths are relative to the current directory.
 *
 * @module
 */
import { z } from "zod";
import { dataKeys } from "./keys/data.js";
import { hardwareKeys } from "./keys/hardware.js";
import { modelKeys } from "./keys/model.js";
import { objectiveKeys } from "./keys/objective.js";
import { optimiserKeys } from "./keys/optimiser.js";
import { orderKeys } from "./keys/order.js";
import { outputKeys } from "./keys/output.js";
import { rewardKeys } from "./keys/rewards.js";
import { samplingKeys } from "./keys/sampling.js";
import { scheduleKeys } from "./keys/schedule.js";
import { supervisedKeys } from "./keys/supervised.js";
import type { NotBuiltInput } from "./not-built.js";

/** Sections in the order in which people read them. */
export const configSections = {
  Model: modelKeys,
  Data: dataKeys,
  "Order of the data": orderKeys,
  Sampling: samplingKeys,
  Rewards: rewardKeys,
  Objective: objectiveKeys,
  Supervised: supervisedKeys,
  Optimiser: optimiserKeys,
  Schedule: scheduleKeys,
  "Saving and logging": outputKeys,
  Hardware: hardwareKeys,
} as const;

/** The whole configuration. Contradictions between keys are looked for by `resolveConfig`, not here. */
export const configSchema = z.strictObject({
  ...modelKeys,
  ...dataKeys,
  ...orderKeys,
  ...samplingKeys,
  ...rewardKeys,
  ...objectiveKeys,
  ...supervisedKeys,
  ...optimiserKeys,
  ...scheduleKeys,
  ...outputKeys,
  ...hardwareKeys,
});

/** What a user writes: only `model_name_or_path` is required. */
export type ConfigInput = z.input<typeof configSchema> & NotBuiltInput;

/** Every key with its default, before values that follow from other keys are filled in. */
export type ParsedConfig = z.output<typeof configSchema>;

/** Name of a key. */
export type ConfigKey = keyof ParsedConfig;

/** Keys that only fine-tuning on given answers reads. */
export type SupervisedKey = keyof typeof supervisedKeys;

/** Keys that only reinforcement learning reads: how completions are drawn, paid for and used. */
export type ReinforcementKey =
  | Exclude<keyof typeof samplingKeys, "max_completion_length">
  | keyof typeof rewardKeys
  | keyof typeof objectiveKeys
  | "prompts_per_step"
  | "log_completions";

/** Keys whose default follows from other keys, once resolved, for every task. */
interface SharedDerivedValues {
  readonly data_seed: number;
  /** At least one. */
  readonly eval_estimators: ("sampled" | "greedy" | "expected")[];
  readonly run_name: string;
  /** Whether a batch holds rows of one data set or of all. */
  readonly batch_datasets: "one" | "mixed";
}

/** Keys whose default follows from other keys, once resolved for `train`. */
interface DerivedValues extends SharedDerivedValues {
  /** Prompts of one rollout batch. */
  readonly prompts_per_step: number;
  /** One weight per entry of `reward_funcs`. */
  readonly reward_weights: number[];
  /** In squared score points. */
  readonly fidelity_variance_floor: number;
  /** Clip range above 1; with cispo the cap of the ratio. */
  readonly epsilon_high: number;
  readonly importance_sampling_level: "token" | "sequence";
  /** What advantages are divided by. */
  readonly scale_rewards: "group" | "batch" | "none";
}

/** Keys whose default follows from other keys, once resolved for `sft`. */
interface SftDerivedValues extends SharedDerivedValues {
  /** Rows of one pass without packing; times `gradient_accumulation_steps`, rows of an update. */
  readonly per_device_train_batch_size: number;
}

/** A complete configuration of `train` without contradictions. Resolving it again changes nothing. */
export type ResolvedConfig = Readonly<Omit<ParsedConfig, keyof DerivedValues | SupervisedKey>> & DerivedValues;

/** What a user writes for `sft`. */
export type SftConfigInput = Omit<ConfigInput, ReinforcementKey>;

/** A complete configuration of `sft` without contradictions. Resolving it again changes nothing. */
export type ResolvedSftConfig = Readonly<Omit<ParsedConfig, keyof SftDerivedValues | ReinforcementKey>> &
  SftDerivedValues;

/** The keys that both tasks have. */
export type SharedConfig = Readonly<Omit<ParsedConfig, keyof SharedDerivedValues | ReinforcementKey | SupervisedKey>> &
  SharedDerivedValues;
