/**
 * How many prompts, completions, updates and batches there are. The one place where they are counted.
 *
 * A rollout batch is `prompts_per_step` prompts with `num_generations` completions each. It feeds
 * `num_iterations` x (completions / update size) optimizer updates. A step is one optimizer update.
 *
 * @module
 */
import { ConfigError } from "../errors.js";
import type { ConfigKey, ParsedConfig } from "./schema.js";

/** Prompts of a rollout batch when the configuration says nothing. */
const DEFAULT_PROMPTS_PER_STEP = 8;

/** The keys that decide on sizes. */
export const BATCH_KEYS = [
  "num_generations",
  "num_iterations",
  "prompts_per_step",
  "per_device_train_batch_size",
  "gradient_accumulation_steps",
  "num_processes",
] as const satisfies readonly ConfigKey[];

/** Their values. */
export type BatchKeys = Pick<ParsedConfig, (typeof BATCH_KEYS)[number]>;

/** The keys whose product is the size of an update. */
type UpdateKeys = Pick<ParsedConfig, "per_device_train_batch_size" | "gradient_accumulation_steps" | "num_processes">;

/** Completions of an update, or rows of `sft`, that these keys ask for; null where the rollout batch says how many. */
export function updateSize(config: UpdateKeys): number | null {
  const { per_device_train_batch_size: perDevice, gradient_accumulation_steps: passes, num_processes: ranks } = config;
  return perDevice === null ? null : perDevice * passes * ranks;
}

/** How the size comes about: "per_device_train_batch_size x gradient_accumulation_steps is 8 x 1 = 8 completions". */
export function updateInWords(config: UpdateKeys, unit: "completions" | "rows"): string {
  const { per_device_train_batch_size: perDevice, gradient_accumulation_steps: passes, num_processes: ranks } = config;
  const [names, numbers] =
    ranks === 1 ? ["", `${perDevice} x ${passes}`] : [" x num_processes", `${perDevice} x ${passes} x ${ranks}`];
  return `per_device_train_batch_size x gradient_accumulation_steps${names} is ${numbers} = ${updateSize(config)} ${unit}`;
}

export interface BatchSizes {
  /** Prompts of a rollout batch. */
  readonly promptsPerStep: number;
  /** Completions of a rollout batch. */
  readonly completionsPerBatch: number;
  /** Completions of one optimizer update. */
  readonly completionsPerUpdate: number;
  /** Optimizer updates that one rollout batch feeds. */
  readonly updatesPerBatch: number;
}

/** Sizes of a configuration; fractions where it contradicts itself, which `resolveConfig` refuses. */
export function batchSizes(config: BatchKeys): BatchSizes {
  const { num_generations, num_iterations } = config;
  const asked = updateSize(config);
  const promptsPerStep =
    config.prompts_per_step ?? (asked === null ? DEFAULT_PROMPTS_PER_STEP : asked / num_generations);
  const completionsPerBatch = promptsPerStep * num_generations;
  const completionsPerUpdate = asked ?? completionsPerBatch;
  const updatesPerBatch = num_iterations * (completionsPerBatch / completionsPerUpdate);
  return { promptsPerStep, completionsPerBatch, completionsPerUpdate, updatesPerBatch };
}

/**
 * Full batches that the first `epochs` passes over one data set give; rows left over by one pass are used by the next.
 *
 * @param options.rows rows that a pass over the data set draws
 * @param options.epochs passes; may be a fraction
 * @returns whole batches, and the rows that remain after them
 */
export function countBatches(options: {
  readonly rows: number;
  readonly epochs: number;
  readonly promptsPerStep: number;
}): { readonly batches: number; readonly leftOver: number } {
  const { rows, epochs, promptsPerStep } = options;
  // 30 rows x 0.1 epochs are 3 rows, also where the product is 2.9999999999999996.
  const drawn = Math.floor(rows * epochs + 1e-9);
  const batches = Math.floor(drawn / promptsPerStep);
  return { batches, leftOver: drawn - batches * promptsPerStep };
}

/**
 * Rows that an epoch draws of each data set: as many in all as there are, in the proportions asked for.
 *
 * @param rows of each data set
 * @returns may be fractions; the rows themselves for "proportional"
 * @throws ConfigError CONFIG_DATASET_WEIGHTS when numbers are given and do not name exactly these data sets
 */
export function drawsPerEpoch(
  rows: Readonly<Record<string, number>>,
  weights: ParsedConfig["dataset_weights"],
): Record<string, number> {
  if (weights === "proportional") return { ...rows };
  const names = Object.keys(rows);
  const given = weights === "uniform" ? Object.fromEntries(names.map((name) => [name, 1])) : weights;
  const wrong = [
    ...Object.keys(given).flatMap((name) => (Object.hasOwn(rows, name) ? [] : [`"${name}", which no row belongs to`])),
    ...names.flatMap((name) => (Object.hasOwn(given, name) ? [] : [`no number for "${name}"`])),
  ];
  if (wrong.length > 0) {
    throw new ConfigError(
      "CONFIG_DATASET_WEIGHTS",
      `dataset_weights has ${wrong.join(", ")}. Give one number for each data set: ${names.join(", ")}.`,
      { fields: { datasets: names, weights: given } },
    );
  }
  const all = names.reduce((total, name) => total + rows[name]!, 0);
  const sum = names.reduce((total, name) => total + given[name]!, 0);
  return Object.fromEntries(names.map((name) => [name, (all * given[name]!) / sum]));
}

/**
 * Whether something that is due every `every` steps is due at the end of a rollout batch.
 *
 * @param options.step last step of the rollout batch, 1-based
 * @returns true when a multiple of `every` falls on one of the batch's steps
 */
export function isDue(options: {
  readonly step: number;
  readonly every: number;
  readonly updatesPerBatch: number;
}): boolean {
  const { step, every, updatesPerBatch } = options;
  return Math.floor(step / every) > Math.floor((step - updatesPerBatch) / every);
}

/** Most tokens of a pass of `sft`: with packing examples share it up to `max_seq_length`. null: no number is asked for. */
export function sftPassTokens({
  packing,
  max_seq_length: packed,
  max_tokens_per_part: limit,
}: Pick<ParsedConfig, "packing" | "max_seq_length" | "max_tokens_per_part">): number | null {
  if (!packing || packed === null) return limit;
  return limit === null ? packed : Math.min(packed, limit);
}
