/**
 * The plan of a run: how many batches, updates and steps there will be, what is left over, and when things happen.
 *
 * Pure. A step is one optimizer update, counted from 1. A rollout is one batch of prompts with their completions.
 *
 * @module
 */
import { ConfigError } from "../errors.js";
import { batchSizes, isDue } from "./batch-arithmetic.js";
import type { BatchKeys } from "./batch-arithmetic.js";
import { createSchedule } from "./schedules.js";
import type { SharedConfig } from "./schema.js";

/** The keys that decide on the plan. */
export type PlanKeys = BatchKeys &
  Pick<
    SharedConfig,
    | "max_steps"
    | "num_train_epochs"
    | "warmup_steps"
    | "warmup_ratio"
    | "lr_scheduler_type"
    | "learning_rate"
    | "save_steps"
    | "eval_steps"
  >;

/** What is known about the data when the plan is made. */
export interface RunFacts {
  /** What the order of the rows to train on comes to; a sampler's `counts`. */
  readonly order: OrderCounts;
  /** Rows held out for evaluation. Default 0. */
  readonly heldOutRows?: number;
}

/** How many batches the data give. */
export interface OrderCounts {
  readonly datasets: readonly DatasetPlan[];
  /** Rollouts in all; not used when `max_steps` ends the run. */
  readonly batches: number;
  /** Rows of the last pass over all data sets together that fill no batch, where batches mix data sets. */
  readonly leftOver: number;
}

/** A data set's share of the run. */
export interface DatasetPlan {
  readonly name: string;
  readonly rows: number;
  /** Rollouts made of its rows alone; null when `max_steps` ends the run, since the order of the data then decides, and where batches mix data sets. */
  readonly rollouts: number | null;
  /** Rows that fill no batch and are not used, over the whole run. */
  readonly leftOver: number;
}

export interface RunPlan {
  readonly datasets: readonly DatasetPlan[];
  readonly rows: number;
  readonly heldOutRows: number;
  /** Passes over the data; a fraction when `max_steps` ends the run within one. */
  readonly epochs: number;
  /** Prompts of one rollout. */
  readonly promptsPerStep: number;
  /** Completions of one rollout. */
  readonly completionsPerRollout: number;
  /** Completions of one optimizer update. */
  readonly completionsPerUpdate: number;
  /** Optimizer updates that one rollout feeds. */
  readonly updatesPerRollout: number;
  readonly rollouts: number;
  /** Optimizer updates in all. */
  readonly steps: number;
  /** Rows of all data sets that are not used. */
  readonly leftOver: number;
  readonly warmupSteps: number;
  readonly firstLearningRate: number;
  readonly lastLearningRate: number;
  /** Steps after which a checkpoint is taken; the last step is always one of them. */
  readonly saveSteps: readonly number[];
  /** Steps after which held-out rows are evaluated, besides before the first; empty without such rows. */
  readonly evalSteps: readonly number[];
}

/**
 * @throws ConfigError CONFIG_NO_STEPS when the data fill no batch
 */
export function planRun(config: PlanKeys, facts: RunFacts): RunPlan {
  const { promptsPerStep, completionsPerBatch, completionsPerUpdate, updatesPerBatch } = batchSizes(config);
  const { order, heldOutRows = 0 } = facts;
  const { datasets } = order;
  const rows = datasets.reduce((total, dataset) => total + dataset.rows, 0);
  const rollouts = config.max_steps > 0 ? config.max_steps / updatesPerBatch : order.batches;
  if (rollouts === 0 || rows === 0) throw tooFewRows(config, datasets, promptsPerStep);

  const steps = rollouts * updatesPerBatch;
  const warmupSteps = config.warmup_steps > 0 ? config.warmup_steps : Math.ceil(steps * config.warmup_ratio);
  const schedule = createSchedule({
    type: config.lr_scheduler_type,
    learningRate: config.learning_rate,
    warmupSteps,
    totalSteps: steps,
  });
  return {
    datasets,
    rows,
    heldOutRows,
    epochs: config.max_steps > 0 ? (rollouts * promptsPerStep) / rows : config.num_train_epochs,
    promptsPerStep,
    completionsPerRollout: completionsPerBatch,
    completionsPerUpdate,
    updatesPerRollout: updatesPerBatch,
    rollouts,
    steps,
    leftOver: datasets.reduce((total, dataset) => total + dataset.leftOver, order.leftOver),
    warmupSteps,
    firstLearningRate: schedule(1),
    lastLearningRate: schedule(steps),
    saveSteps: dueSteps({ steps, updatesPerBatch, every: config.save_steps }),
    evalSteps: heldOutRows === 0 ? [] : dueSteps({ steps, updatesPerBatch, every: config.eval_steps ?? steps }),
  };
}

function tooFewRows(config: PlanKeys, datasets: readonly DatasetPlan[], promptsPerStep: number): ConfigError {
  const counts = datasets.map(({ name, rows }) => `${name} has ${rows}`).join(", ");
  return new ConfigError(
    "CONFIG_NO_STEPS",
    `The data fill no batch: ${counts === "" ? "there are no rows" : `${counts} rows`}, num_train_epochs is ` +
      `${config.num_train_epochs}, and a batch takes ${promptsPerStep} rows of one data set (prompts_per_step). ` +
      "Give more rows, more epochs, or fewer prompts per step.",
    { fields: { promptsPerStep, rows: Object.fromEntries(datasets.map(({ name, rows }) => [name, rows])) } },
  );
}

/** Ends of rollouts at which something is due, and the last step. */
function dueSteps(options: {
  readonly steps: number;
  readonly updatesPerBatch: number;
  readonly every: number;
}): number[] {
  const { steps, updatesPerBatch, every } = options;
  const ends = Array.from({ length: steps / updatesPerBatch }, (_, rollout) => (rollout + 1) * updatesPerBatch);
  return ends.filter((step) => step === steps || isDue({ step, every, updatesPerBatch }));
}
