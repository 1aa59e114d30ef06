/**
 * Everything about a supervised run that can be known, and refused, before a model is loaded.
 *
 * @module
 */
import { planRun, readDeepSpeed, resolveSftConfig, updateInWords, updateSize } from "../config/index.js";
import type { ResolvedSftConfig, SftConfigInput } from "../config/index.js";
import type { Row, SamplerConfig } from "../data/index.js";
import { DataError } from "../errors.js";
import { parseScore } from "../rewards/index.js";
import { openData } from "./open-data.js";
import type { RunBasis } from "./prepare.js";
import { lastAnswer } from "./sft-examples.js";

/** A run of `sft` that could start. */
export interface PreparedSft extends RunBasis {
  readonly config: ResolvedSftConfig;
}

/** @throws ConfigError, DataError with every problem listed */
export async function prepareSft(input: SftConfigInput | ResolvedSftConfig): Promise<PreparedSft> {
  const config = resolveSftConfig(input, { require: ["data_file_paths"] });
  if (config.deepspeed !== null) await readDeepSpeed(config.deepspeed, config);
  // `sft` has rows of a pass in any case.
  const size = updateSize(config)!;
  const data = await openData(config, {
    answers: "text",
    checkCount: (count) => requireUpdate(count, size, config),
    order: orderOf(config, size),
  });
  return {
    config,
    ...data,
    heldOut: data.heldOut.map(withMos),
    // An answer is to a row what a completion is to a prompt, so the arithmetic is that of one completion per prompt.
    plan: planRun({ ...config, num_generations: 1, num_iterations: 1, prompts_per_step: null }, data.facts),
    fidelityWarmup: null,
  };
}

/** The keys that the order of rows depends on; the others would speak of completions. */
function orderOf(config: ResolvedSftConfig, size: number): SamplerConfig {
  const { per_device_train_batch_size: _rows, gradient_accumulation_steps: _passes, ...shared } = config;
  return { ...shared, prompts_per_step: size };
}

function requireUpdate(rows: number, size: number, config: ResolvedSftConfig): void {
  const passes = config.max_steps > 0 ? 1 : Math.min(1, config.num_train_epochs);
  if (rows * passes >= size) return;
  throw new DataError(
    "DATA_TOO_FEW_ROWS",
    `${rows} rows to train on (num_train_epochs ${config.num_train_epochs}) fill no update: ` +
      `${updateInWords(config, "rows")}. Lower them, or add rows.`,
    { fields: { rows, size } },
  );
}

/** The score that a held-out answer gives, where the row has no MOS. */
function withMos(row: Row): Row {
  if (row.mos !== undefined) return row;
  const { score } = parseScore(lastAnswer(row));
  return score === null ? row : { ...row, mos: score };
}
