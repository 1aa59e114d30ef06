/**
 * The data of a run: rows that are all in memory, or an index of files that are read as they are needed.
 *
 * @module
 */
import type { RunFacts, SharedConfig } from "../config/index.js";
import { createSampler, indexRows, loadRows } from "../data/index.js";
import type {
  CurriculumFunction,
  LoadRowsOptions,
  Row,
  Sampler,
  SamplerConfig,
  StreamingSampler,
} from "../data/index.js";
import { holdOut, loadHeldOut } from "./hold-out.js";

/** What a run draws its batches from. */
export interface TrainingData {
  /** Rows to train on. */
  readonly rowCount: number;
  readonly heldOut: readonly Row[];
  readonly sampler: Sampler | StreamingSampler;
  /** For the plan. */
  readonly facts: RunFacts;
}

export interface OpenDataOptions extends Required<LoadRowsOptions> {
  /** Rejects rows that cannot be used; called before the run where all rows are there, else when a batch is due. */
  readonly check?: (rows: readonly Row[]) => Promise<void>;
  /** Refuses so few rows to train on. */
  readonly checkCount?: (rows: number) => void;
  readonly curriculum?: CurriculumFunction;
  /** Keys for the sampler. Default: the configuration. */
  readonly order?: SamplerConfig;
}

/** @throws ConfigError, DataError with every problem listed */
export async function openData(config: SharedConfig, options: OpenDataOptions): Promise<TrainingData> {
  const { answers, check = async () => undefined, checkCount = () => undefined, order = config } = options;
  const curriculum = options.curriculum && { curriculum: options.curriculum };
  if (config.dataset_streaming) {
    const index = await indexRows(config, { answers, ...curriculum });
    checkCount(index.length);
    const checked = {
      ...index,
      async read(places: readonly number[]) {
        const rows = await index.read(places);
        await check(rows);
        return rows;
      },
    };
    const heldOut = await loadHeldOut(config, { answers });
    return dataOf(createSampler(checked, order), index.length, heldOut);
  }
  const all = await loadRows(config, { answers });
  await check(all);
  const { train, heldOut } = await holdOut(config, all, { answers });
  checkCount(train.length);
  return dataOf(createSampler(train, order, curriculum), train.length, heldOut);
}

function dataOf(sampler: TrainingData["sampler"], rowCount: number, heldOut: readonly Row[]): TrainingData {
  return { rowCount, heldOut, sampler, facts: { order: sampler.counts, heldOutRows: heldOut.length } };
}
