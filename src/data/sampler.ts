/**
 * Which rows each rollout batch takes: a pure function of the seed and the batch's number, so resuming needs no state.
 *
 * A batch is of one data set. In epoch e a data set of n rows completes floor(n e / P) - floor(n (e - 1) / P) batches of P
 * rows; the batches of all data sets that an epoch completes come in a seeded order, so larger sets come more often and
 * every set is spread over the epoch. Rows that one epoch leaves over begin the next epoch's first batch.
 *
 * @module
 */
import { batchSizes, countBatches } from "../config/index.js";
import type { ResolvedConfig } from "../config/index.js";
import { DataError } from "../errors.js";
import { foldKey, seedStreams, shuffle } from "../stats/index.js";
import { createEpochOrder } from "./epoch-order.js";
import type { EpochOrder } from "./epoch-order.js";
import type { Row } from "./row.js";
import { textKey } from "./text-key.js";

/** The configuration's keys that decide on order and number of batches. */
export type SamplerConfig = Pick<
  ResolvedConfig,
  | "data_seed"
  | "num_train_epochs"
  | "max_steps"
  | "prompts_per_step"
  | "num_generations"
  | "num_iterations"
  | "per_device_train_batch_size"
  | "gradient_accumulation_steps"
>;

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
  const { prompts_per_step: size, num_train_epochs: epochs, max_steps: maxSteps } = config;
  const limited = maxSteps === -1;
  const datasets = groupByDataset(rows, config, limited);
  const batches = limited
    ? datasets.reduce((total, { limit }) => total + limit, 0)
    : Math.ceil(maxSteps / batchSizes(config).updatesPerBatch);
  if (batches === 0) {
    throw new DataError(
      "DATA_TOO_FEW_ROWS",
      `${rows.length} rows x num_train_epochs (${epochs}) fill no batch of prompts_per_step (${size}) rows. Raise num_train_epochs, or lower prompts_per_step.`,
      { fields: { rows: rows.length, epochs, promptsPerStep: size } },
    );
  }
  const slotOf = createSchedule(datasets, config);

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

function groupByDataset(rows: readonly Row[], config: SamplerConfig, limited: boolean): Dataset[] {
  const { prompts_per_step: size, num_train_epochs: epochs, data_seed: seed } = config;
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
      limit: limited ? counted.batches : Infinity,
      leftOver: limited ? counted.leftOver : 0,
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
function createSchedule(datasets: readonly Dataset[], config: SamplerConfig): (step: number) => Slot {
  const { prompts_per_step: size, data_seed: seed } = config;
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
