/**
 * How well a checkpoint ranks labelled pictures, by each of the three ways to a score, for a results file.
 *
 * @module
 */
import { computeDtype, resolveConfig } from "../../src/config/index.js";
import type { ConfigInput } from "../../src/config/index.js";
import { evaluate } from "../../src/trainer/index.js";
import type { Evaluation } from "../../src/trainer/index.js";
import { ESTIMATORS } from "./ranking-results.js";
import type { RankingResult } from "./ranking-results.js";

export interface RateCheckpointOptions {
  /** Folder of the checkpoint. */
  readonly model: string;
  /** JSONL file of one data set, all rows with labels. */
  readonly data: string;
  /** Question, length of answers, precision and threads as in training. */
  readonly settings: Partial<ConfigInput>;
  /** A grey picture in the place of every picture. Default false. */
  readonly blank?: boolean;
}

type Estimator = (typeof ESTIMATORS)[number];

/** Answers per picture of the sampled estimator. */
const SAMPLES = 6;
/** Names the draws of answers and resamples: the same for all checkpoints. */
const SEED = 42;

/** @throws Error for rows of several data sets or without a label, and what `evaluate` throws */
export async function rateCheckpoint(
  options: RateCheckpointOptions,
): Promise<Pick<RankingResult, "evaluation" | "labels" | "groups">> {
  const { model, data, settings, blank = false } = options;
  const config = resolveConfig({ ...settings, model_name_or_path: model });
  const evaluation = await evaluate({
    model,
    data,
    samples: SAMPLES,
    seed: SEED,
    // A collapsed model is a result, not a failure.
    onMissing: "exclude",
    blank,
    questionTemplate: config.question_template,
    maxCompletionLength: config.max_completion_length,
    dtype: computeDtype(config),
    device: config.device,
    ...(config.worker_threads !== null && { threads: config.worker_threads }),
  });
  if (evaluation.results.length > 1) throw new Error(`${data} holds several data sets.`);
  const rows = evaluation.predictions.filter(({ estimator }) => estimator === ESTIMATORS[0]);
  const figures = ESTIMATORS.map((name) => [name, figuresOf(evaluation, name)] as const);
  return {
    evaluation: Object.fromEntries(figures) as Record<Estimator, RankingResult["evaluation"][Estimator]>,
    labels: rows.map(({ id, mos }) => {
      if (mos === null) throw new Error(`${data}: row ${id} has no label.`);
      return mos;
    }),
    groups: rows.map(({ id, group }) => group ?? id),
  };
}

function figuresOf({ results, predictions }: Evaluation, name: Estimator): RankingResult["evaluation"][Estimator] {
  const { srcc, srccInterval, spread, formatRate, unparsable } = results[0]!.estimators[name]!;
  return {
    srcc,
    low: srccInterval?.low ?? null,
    high: srccInterval?.high ?? null,
    spread,
    formatRate,
    unscored: unparsable,
    scores: predictions
      .filter(({ estimator }) => estimator === name)
      .map(({ score }) => (score === null ? null : Number(score.toFixed(4)))),
  };
}
