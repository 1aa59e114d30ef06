/**
 * The rows of a run: those to train on, those held out, and how the latter are rated.
 *
 * @module
 */
import type { SharedConfig } from "../config/index.js";
import { loadRows, splitRows } from "../data/index.js";
import type { LoadRowsOptions, Row, Split } from "../data/index.js";
import { asksForThinking } from "../prompts/index.js";
import type { EvaluateRowsOptions } from "./evaluation/index.js";

/** Held out are the rows of `eval_data_file_paths`, or a share of the training rows (`val_split_ratio`), or none. */
export async function holdOut(
  config: SharedConfig,
  all: readonly Row[],
  options: LoadRowsOptions = {},
): Promise<Split> {
  if (config.val_split_ratio === 0) return { train: [...all], heldOut: await loadHeldOut(config, options) };
  return splitRows(all, { ratio: config.val_split_ratio, seed: config.data_seed });
}

/** The rows of `eval_data_file_paths`; none without it. */
export async function loadHeldOut(config: SharedConfig, options: LoadRowsOptions = {}): Promise<Row[]> {
  if (config.eval_data_file_paths.length === 0) return [];
  return loadRows(
    {
      data_file_paths: config.eval_data_file_paths,
      image_folders: config.eval_image_folders,
      dataset_name: config.dataset_name,
    },
    options,
  );
}

/** How held-out rows are rated. */
export function ratingOptions(config: SharedConfig): EvaluateRowsOptions {
  return {
    estimators: config.eval_estimators,
    samples: config.eval_samples,
    expectedAfter: config.eval_expected_after ?? undefined,
    bootstrap: config.eval_bootstrap,
    seed: config.seed,
    thinking: asksForThinking(config.question_template),
  };
}
