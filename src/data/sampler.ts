/**
 * Which rows each rollout batch takes: a pure function of the seed and the batch's number, so resuming needs no state.
 *
 * How batches come about is described in docs/data-order.md.
 *
 * @module
 */
import { batchSizes, orderContradiction, readKeys } from "../config/index.js";
import type { ConfigInput, ConfigKey, OrderCounts } from "../config/index.js";
import { ConfigError, DataError } from "../errors.js";
import { curriculumReader } from "./curriculum.js";
import type { CurriculumFunction } from "./curriculum.js";
import { createOrder } from "./order/order.js";
import type { OrderSettings } from "./order/order.js";
import { createTableBuilder } from "./order/table.js";
import type { OrderTable } from "./order/table.js";
import { dataError } from "./problems.js";
import type { DataProblem } from "./problems.js";
import type { Row } from "./row.js";
import type { RowIndex } from "./row-index.js";

const KEYS = [
  "seed",
  "data_seed",
  "num_train_epochs",
  "max_steps",
  "prompts_per_step",
  "num_generations",
  "num_iterations",
  "per_device_train_batch_size",
  "gradient_accumulation_steps",
  "num_processes",
  "shuffle_dataset",
  "dataloader_drop_last",
  "dataset_weights",
  "batch_datasets",
  "batch_groups",
  "curriculum_key",
  "curriculum_order",
  "curriculum_mix",
  "data_file_paths",
] as const satisfies readonly ConfigKey[];

/**
 * The configuration's keys that decide on order and number of batches; a whole configuration will do. `data_file_paths`
 * is only used to name rows in errors.
 */
export type SamplerConfig = Partial<Pick<ConfigInput, (typeof KEYS)[number]>>;

type Keys = ReturnType<typeof readKeys<(typeof KEYS)[number]>>;

/** Options of `createSampler`. */
export interface SamplerOptions {
  /** Sorts each pass instead of `curriculum_key`; `curriculum_order` and `curriculum_mix` count as they do for the key. */
  readonly curriculum?: CurriculumFunction;
}

export interface SampledBatch {
  /** Number of the rollout batch, 1-based. */
  readonly step: number;
  /** Epoch in which the batch is completed, 1-based. */
  readonly epoch: number;
  /** prompts_per_step rows, no row twice; of one data set unless `batch_datasets` is mixed. */
  readonly rows: readonly Row[];
}

/** What is known of all batches before the first is drawn. */
interface BatchCounts {
  /** Rollout batches in all. */
  readonly batches: number;
  /** Rows by data set that remain at the end of the epochs because they fill no batch; 0 where `max_steps` sets the end. */
  readonly leftOver: Readonly<Record<string, number>>;
  /** The same for a plan. */
  readonly counts: OrderCounts;
}

/** Iterating starts at batch 1 every time. */
export interface Sampler extends BatchCounts, AsyncIterable<SampledBatch> {
  /** Rows of a batch, 1-based; in any order, any number of times. */
  at(step: number): readonly Row[];
  /** A batch with its number and epoch. Throws DataError DATA_NO_SUCH_BATCH beyond the last. */
  batch(step: number): SampledBatch;
}

/** The same over rows that are read when they are asked for. */
export interface StreamingSampler extends BatchCounts, AsyncIterable<SampledBatch> {
  /** As `batch`. */
  at(step: number): Promise<readonly Row[]>;
  /** Rejects with what is wrong with the batch's rows, by file and line, or with DATA_FILE_CHANGED. */
  batch(step: number): Promise<SampledBatch>;
}

/**
 * @param config `max_steps` counts optimizer steps and replaces `num_train_epochs`
 * @throws DataError DATA_TOO_FEW_ROWS when a data set is smaller than a batch, or no batch comes about at all; others
 *   where groups, weights or a curriculum ask for what the rows do not allow
 */
export function createSampler(rows: readonly Row[], config: SamplerConfig, options?: SamplerOptions): Sampler;
/**
 * @param index of `indexRows`, which was given the same curriculum
 * @throws ConfigError CONFIG_CONFLICT where it was given another
 */
export function createSampler(index: RowIndex, config: SamplerConfig): StreamingSampler;
export function createSampler(
  source: readonly Row[] | RowIndex,
  config: SamplerConfig,
  options: SamplerOptions = {},
): Sampler | StreamingSampler {
  const keys = readKeys(config, KEYS);
  if ("read" in source) {
    checkSortedBy(source, keys);
    const { counts, placesOf } = createBatches(source.table, keys);
    const batch = async (step: number): Promise<SampledBatch> => {
      const { epoch, places } = placesOf(step);
      return { step, epoch, rows: await source.read(places) };
    };
    return { ...counts, ...iterating(counts.batches, batch), batch, at: async (step) => (await batch(step)).rows };
  }
  const { counts, placesOf } = createBatches(tableOf(source, keys, options), keys);
  const batch = (step: number): SampledBatch => {
    const { epoch, places } = placesOf(step);
    return { step, epoch, rows: places.map((place) => source[place]!) };
  };
  return { ...counts, ...iterating(counts.batches, batch), batch, at: (step) => batch(step).rows };
}

function iterating(
  batches: number,
  batch: (step: number) => SampledBatch | Promise<SampledBatch>,
): AsyncIterable<SampledBatch> {
  return {
    async *[Symbol.asyncIterator]() {
      for (let step = 1; step <= batches; step += 1) yield batch(step);
    },
  };
}

interface Batches {
  readonly counts: BatchCounts;
  readonly placesOf: (step: number) => { readonly epoch: number; readonly places: readonly number[] };
}

function createBatches(table: OrderTable, keys: Keys): Batches {
  const { wanted, ...settings } = readSettings(keys, table.curriculum !== null);
  const order = createOrder(table, settings);
  const batches = wanted ?? order.counts.batches;
  if (batches === 0) {
    const { size, epochs } = settings;
    throw new DataError(
      "DATA_TOO_FEW_ROWS",
      `${table.length} rows x num_train_epochs (${epochs}) fill no batch of prompts_per_step (${size}) rows. Raise num_train_epochs, or lower prompts_per_step.`,
      { fields: { rows: table.length, epochs, promptsPerStep: size } },
    );
  }
  return {
    counts: { batches, leftOver: order.leftOver, counts: order.counts },
    placesOf(step) {
      if (Number.isInteger(step) && step >= 1 && step <= batches) return order.at(step);
      throw new DataError("DATA_NO_SUCH_BATCH", `There is no rollout batch ${step}: they go from 1 to ${batches}.`, {
        fields: { step, batches },
      });
    },
  };
}

/** @returns the order's settings, and the number of batches where `max_steps` says so */
function readSettings(keys: Keys, sorted: boolean): OrderSettings & { readonly wanted: number | null } {
  const { promptsPerStep: size, completionsPerUpdate, updatesPerBatch } = batchSizes(keys);
  if (!Number.isInteger(size)) {
    throw new ConfigError(
      "CONFIG_NOT_DIVISIBLE",
      `An update takes ${completionsPerUpdate} completions, which is no multiple of num_generations (${keys.num_generations}). Set prompts_per_step, or change one of them.`,
    );
  }
  const contradiction = orderContradiction(keys) ?? uselessCurriculum(keys, sorted);
  if (contradiction !== null) throw new ConfigError("CONFIG_CONFLICT", contradiction);
  const endless = keys.max_steps !== -1;
  return {
    seed: keys.data_seed ?? keys.seed,
    size,
    epochs: endless ? null : keys.num_train_epochs,
    wanted: endless ? Math.ceil(keys.max_steps / updatesPerBatch) : null,
    mixed: keys.batch_datasets === "mixed",
    weights: keys.dataset_weights,
    groups: keys.batch_groups,
    shuffle: keys.shuffle_dataset,
    dropLast: keys.dataloader_drop_last,
    curriculum: sorted ? { descending: keys.curriculum_order === "descending", mix: keys.curriculum_mix } : null,
  };
}

/** An index holds what its rows are sorted by, so another key would have no effect. */
function checkSortedBy({ sortedBy }: RowIndex, { curriculum_key: key }: Keys): void {
  if (key === null || sortedBy === "function" || sortedBy?.key === key) return;
  const made = sortedBy === null ? "without a curriculum" : `with "${sortedBy.key}"`;
  throw new ConfigError(
    "CONFIG_CONFLICT",
    `curriculum_key is "${key}", and the rows were indexed ${made}. Give indexRows the same configuration.`,
  );
}

function uselessCurriculum({ curriculum_order: order, curriculum_mix: mix }: Keys, sorted: boolean): string | null {
  if (sorted || (order === "ascending" && mix === 0)) return null;
  const asked = mix === 0 ? `curriculum_order is "${order}"` : `curriculum_mix is ${mix}`;
  return `${asked}, and there is no curriculum that it could matter to. Set curriculum_key, or remove it.`;
}

/** @throws DataError DATA_CURRICULUM naming every row that cannot be sorted */
function tableOf(rows: readonly Row[], keys: Keys, { curriculum }: SamplerOptions): OrderTable {
  const read = curriculumReader(keys.curriculum_key, curriculum);
  const table = createTableBuilder();
  const problems: DataProblem[] = [];
  for (const row of rows) {
    const found = read === null ? { value: 0 } : read(row);
    if ("value" in found) table.add(row, found.value);
    else {
      const { file, line } = row.source;
      const name = keys.data_file_paths[file] ?? `data file ${file + 1}`;
      problems.push({ code: "DATA_CURRICULUM", file: name, line, message: found.problem });
    }
  }
  if (problems.length > 0) throw dataError(problems);
  return table.build(read !== null);
}
