/**
 * Everything about a supervised run that can be known, and refused, before a model is loaded.
 *
 * @module
 */
import { planRun, resolveSftConfig } from "../config/index.js";
import type { ResolvedSftConfig, RunPlan, SftConfigInput } from "../config/index.js";
import { createSampler, loadRows } from "../data/index.js";
import type { Row, Sampler } from "../data/index.js";
import { DataError } from "../errors.js";
import { parseScore } from "../rewards/index.js";
import { countByDataset, holdOut } from "./hold-out.js";
import type { RunBasis } from "./prepare.js";
import { lastAnswer } from "./sft-examples.js";

/** A run of `sft` that could start. */
export interface PreparedSft extends RunBasis {
  readonly config: ResolvedSftConfig;
}

/** @throws ConfigError, DataError with every problem listed */
export async function prepareSft(input: SftConfigInput | ResolvedSftConfig): Promise<PreparedSft> {
  const config = resolveSftConfig(input, { require: ["data_file_paths"] });
  const all = await loadRows(config, { answers: "text" });
  const { train, heldOut } = await holdOut(config, all, { answers: "text" });
  const size = config.per_device_train_batch_size * config.gradient_accumulation_steps;
  requireBatch(train, size, config);
  return {
    config,
    rows: train,
    heldOut: heldOut.map(withMos),
    sampler: mixedSampler(train, size, config),
    plan: planSft(config, train, heldOut),
    fidelityWarmup: null,
  };
}

/** An answer is to a row what a completion is to a prompt, so the arithmetic is that of one completion per prompt. */
function planSft(config: ResolvedSftConfig, train: readonly Row[], heldOut: readonly Row[]): RunPlan {
  const plan = planRun(
    { ...config, num_generations: 1, num_iterations: 1, prompts_per_step: null },
    { rows: { [MIXED]: train.length }, heldOutRows: heldOut.length },
  );
  const counts = Object.entries(countByDataset(train));
  return { ...plan, datasets: counts.map(([name, rows]) => ({ name, rows, rollouts: null, leftOver: 0 })) };
}

/** Nothing is compared within a batch, so data sets are shuffled into one another: for the sampler they are one. */
const MIXED = "all rows";

function mixedSampler(rows: readonly Row[], size: number, config: ResolvedSftConfig): Sampler {
  const { seed, data_seed, num_train_epochs, max_steps } = config;
  const mixed = rows.map((row) => ({ ...row, dataset: MIXED }));
  return createSampler(mixed, { seed, data_seed, num_train_epochs, max_steps, prompts_per_step: size });
}

function requireBatch(rows: readonly Row[], size: number, config: ResolvedSftConfig): void {
  const passes = config.max_steps > 0 ? 1 : Math.min(1, config.num_train_epochs);
  if (rows.length * passes >= size) return;
  throw new DataError(
    "DATA_TOO_FEW_ROWS",
    `${rows.length} rows to train on (num_train_epochs ${config.num_train_epochs}) fill no update of ` +
      `per_device_train_batch_size x gradient_accumulation_steps = ${config.per_device_train_batch_size} x ` +
      `${config.gradient_accumulation_steps} = ${size} rows. Lower them, or add rows.`,
    { fields: { rows: rows.length, size } },
  );
}

/** The score that a held-out answer gives, where the row has no MOS. */
function withMos(row: Row): Row {
  if (row.mos !== undefined) return row;
  const { score } = parseScore(lastAnswer(row));
  return score === null ? row : { ...row, mos: score };
}
