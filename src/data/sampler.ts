/**
 * Which rows each rollout batch takes: a pure function of the seed and the batch's number, so resuming needs no state.
 *
 * A batch is of one data set. In epoch e a data set of n rows completes floor(n e / P) - floor(n (e - 1) / P) batches of P
 * rows; the batches of all data sets that an epoch completes come in a seeded order, so larger sets come more often and
 * every set is spread over the epoch. Rows that one epoch leaves over begin the next epoch's first batch.
 *
 * @module
 */
import { batchSizes, countBatches, readKeys } from "../config/index.js";
import type { ConfigInput, ConfigKey } from "../config/index.js";
import { ConfigError, DataError } from "../errors.js";
import { foldKey, seedStreams, shuffle } from "../stats/index.js";
import { createEpochOrder } from "./epoch-order.js";
import type { EpochOrder } from "./epoch-order.js";
import type { Row } from "./row.js";
import { textKey } from "./text-key.js";

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
] as const satisfies readonly ConfigKey[];

/** The configuration's keys that decide on order and number of batches; a whole configuration will do. */
export type SamplerConfig = Partial<Pick<ConfigInput, (typeof KEYS)[number]>>;

/** What follows from the keys. */
interface Settings {
  readonly seed: number;
  /** Rows of a batch. */
  readonly size: number;
  readonly epochs: number;
  /** Batches in all, where `max_steps` says so. */
  readonly wanted: number | null;
}

export interface SampledBatch {
  /** Number of the rollout batch, 1-based. */
  readonly step: number;
  /** Epoch in which the batch is completed, 1-based. */
  readonly epoch: number;
  /** prompts_per_step rows of one data set, no row twice. */
  readonly rows: readonly Row[];
}

/** Iterating starts at batch 1 every time. */
export interface Sampler extends AsyncIterable<SampledBatch> {
  /** Rollout batches in all. */
  readonly batches: number;
  /** Rows by data set that remain at the end of the epochs because they fill no batch; 0 where `max_steps` sets the end. */
  readonly leftOver: Readonly<Record<string, number>>;
  /** Rows of a batch, 1-based; in any order, any number of times. */
  at(step: number): readonly Row[];
  /** A batch with its number and epoch. Throws DataError DATA_NO_SUCH_BATCH beyond the last. */
  batch(step: number): SampledBatch;
}

/** Where a batch comes from. */
interface Slot {
  readonly dataset: Dataset;
  /** Number of the batch within its data set, from 0. */
  readonly ordinal: number;
  readonly epoch: number;
}

interface Dataset {
  readonly name: string;
  readonly rows: readonly Row[];
  readonly order: EpochOrder;
  /** Batches it may give. */
  readonly limit: number;
  readonly leftOver: number;
}

/**
 * @param config `max_steps` counts optimizer steps and replaces `num_train_epochs`
 * @throws DataError DATA_TOO_FEW_ROWS when a data set is smaller than a batch, or no batch comes about at all
 */
export function createSampler(rows: readonly Row[], config: SamplerConfig): Sampler {
  const settings = readSettings(config);
  const { size, epochs } = settings;
  const datasets = groupByDataset(rows, settings);
  const batches = settings.wanted ?? datasets.reduce((total, { limit }) => total + limit, 0);
  if (batches === 0) {
    throw new DataError(
      "DATA_TOO_FEW_ROWS",
      `${rows.length} rows x num_train_epochs (${epochs}) fill no batch of prompts_per_step (${size}) rows. Raise num_train_epochs, or lower prompts_per_step.`,
      { fields: { rows: rows.length, epochs, promptsPerStep: size } },
    );
  }
  const slotOf = createSchedule(datasets, settings);

  function batch(step: number): SampledBatch {
    if (!Number.isInteger(step) || step < 1 || step > batches) {
      throw new DataError("DATA_NO_SUCH_BATCH", `There is no rollout batch ${step}: they go from 1 to ${batches}.`, {
        fields: { step, batches },
      });
    }
    const { dataset, ordinal, epoch } = slotOf(step);
    return { step, epoch, rows: dataset.order(ordinal).map((index) => dataset.rows[index]!) };
  }

  return {
    batches,
    batch,
    at: (step) => batch(step).rows,
    leftOver: Object.fromEntries(datasets.map(({ name, leftOver }) => [name, leftOver])),
    async *[Symbol.asyncIterator]() {
      for (let step = 1; step <= batches; step += 1) yield batch(step);
    },
  };
}

function readSettings(config: SamplerConfig): Settings {
  const keys = readKeys(config, KEYS);
  const { promptsPerStep: size, completionsPerUpdate, updatesPerBatch } = batchSizes(keys);
  if (!Number.isInteger(size)) {
    throw new ConfigError(
      "CONFIG_NOT_DIVISIBLE",
      `An update takes ${completionsPerUpdate} completions, which is no multiple of num_generations (${keys.num_generations}). Set prompts_per_step, or change one of them.`,
    );
  }
  return {
    seed: keys.data_seed ?? keys.seed,
    size,
    epochs: keys.num_train_epochs,
    wanted: keys.max_steps === -1 ? null : Math.ceil(keys.max_steps / updatesPerBatch),
  };
}

function groupByDataset(rows: readonly Row[], { seed, size, epochs, wanted }: Settings): Dataset[] {
  const names = [...new Set(rows.map((row) => row.dataset))].toSorted();
  const datasets = names.map((name) => {
    const own = rows.filter((row) => row.dataset === name);
    const dataset = textKey(name);
    const counted = countBatches({ rows: own.length, epochs, promptsPerStep: size });
    return {
      name,
      rows: own,
      order: createEpochOrder({
        rows: own.length,
        size,
        keyOf: (epoch) => foldKey(seed, seedStreams.order, epoch, dataset),
      }),
      limit: wanted === null ? counted.batches : Infinity,
      leftOver: wanted === null ? counted.leftOver : 0,
    };
  });

  const small = datasets.filter((dataset) => dataset.rows.length < size);
  if (small.length > 0 || rows.length === 0) {
    const found = small.map((dataset) => `"${dataset.name}" has ${dataset.rows.length} rows`);
    throw new DataError(
      "DATA_TOO_FEW_ROWS",
      `${found.length === 0 ? "There are no rows" : `Data set ${found.join(", ")}`}, and a batch takes prompts_per_step (${size}) different rows of one data set. Lower prompts_per_step, or add rows.`,
      {
        fields: { promptsPerStep: size, rows: Object.fromEntries(datasets.map((one) => [one.name, one.rows.length])) },
      },
    );
  }
  return datasets;
}

/** @returns the slot of a step, 1-based; epochs are laid out when first needed and kept */
function createSchedule(datasets: readonly Dataset[], { seed, size }: Settings): (step: number) => Slot {
  const slots: Slot[] = [];
  let epoch = 0;

  function layOut(): void {
    epoch += 1;
    const due = datasets.flatMap((dataset) => {
      const completed = (epochs: number): number => Math.floor((dataset.rows.length * epochs) / size);
      return Array.from({ length: completed(epoch) - completed(epoch - 1) }, () => dataset);
    });
    const next = new Map(datasets.map((dataset) => [dataset, Math.floor((dataset.rows.length * (epoch - 1)) / size)]));
    for (const dataset of shuffle(due, foldKey(seed, seedStreams.order, epoch))) {
      const ordinal = next.get(dataset)!;
      next.set(dataset, ordinal + 1);
      if (ordinal < dataset.limit) slots.push({ dataset, ordinal, epoch });
    }
  }

  return (step) => {
    while (slots.length < step) layOut();
    return slots[step - 1]!;
  };
}
