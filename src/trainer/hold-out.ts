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
  if (config.eval_data_file_paths.length > 0) {
    const heldOut = await loadRows(
      {
        data_file_paths: config.eval_data_file_paths,
        image_folders: config.eval_image_folders,
        dataset_name: config.dataset_name,
      },
      options,
    );
    return { train: [...all], heldOut };
  }
  if (config.val_split_ratio === 0) return { train: [...all], heldOut: [] };
  return splitRows(all, { ratio: config.val_split_ratio, seed: config.data_seed });
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

/** How many rows each data set has. */
export function countByDataset(rows: readonly Row[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const row of rows) counts[row.dataset] = (counts[row.dataset] ?? 0) + 1;
  return counts;
}
