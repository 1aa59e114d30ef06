/**
 * Two evaluations of the same rows: by how much the correlation rose, with an interval of the difference itself.
 *
 * Every resample is used for both, so that what makes a data set hard or easy cancels: such an interval is much narrower than
 * those of the two evaluations.
 *
 * @module
 */
import { ConfigError } from "../../errors.js";
import { bootstrapDifference, srcc } from "../../stats/index.js";
import type { BootstrapInterval } from "../../stats/index.js";
import type { EstimatorName } from "../estimators.js";
import { estimatorNames } from "../estimators.js";
import { groupOf } from "./measure.js";
import { collectReasons, whyNoCorrelation, whyNoInterval } from "./reasons.js";
import type { Reasons } from "./reasons.js";
import type { Prediction } from "./results.js";

/** The rise of one estimator's SRCC on one data set. */
export interface EvaluationDifference {
  readonly dataset: string;
  readonly estimator: EstimatorName;
  /** Pictures with a label that have a score in both. Only they count, so `before` may differ from that evaluation's own. */
  readonly n: number;
  readonly before: number | null;
  readonly after: number | null;
  /** After minus before. */
  readonly difference: number | null;
  /** 95 % unless told otherwise; the rise is certain where it lies above 0. */
  readonly interval: BootstrapInterval | null;
  /** By name of a figure that is null: why. */
  readonly reasons: Reasons;
}

export interface CompareOptions {
  /** Default 1000. */
  readonly resamples?: number;
  /** Default 0.95. */
  readonly level?: number;
  /** Names the draws. Default 42. */
  readonly seed?: number;
}

/** Anything that holds predictions: what `evaluate` returns, for example. */
export interface Predicted {
  readonly predictions: readonly Prediction[];
}

/**
 * @param before predictions of the start
 * @param after predictions for the same rows
 * @returns one entry per data set and estimator that both have
 * @throws ConfigError EVAL_ROWS_DIFFER when the rows, their groups or their labels are not the same
 */
export function compareEvaluations(
  before: Predicted,
  after: Predicted,
  options: CompareOptions = {},
): EvaluationDifference[] {
  const datasets = [...new Set(before.predictions.map(({ dataset }) => dataset))];
  return datasets.flatMap((dataset) =>
    estimatorNames.flatMap((estimator) => {
      const [first, second] = [before, after].map(({ predictions }) =>
        predictions.filter((one) => one.dataset === dataset && one.estimator === estimator),
      ) as [Prediction[], Prediction[]];
      if (first.length === 0 || second.length === 0) return [];
      return [{ dataset, estimator, ...pairedDifference(first, second, options) }];
    }),
  );
}

/**
 * The difference of two lists of predictions for the same rows, whoever made them.
 *
 * @throws ConfigError EVAL_ROWS_DIFFER
 */
export function pairedDifference(
  before: readonly Prediction[],
  after: readonly Prediction[],
  { resamples = 1000, level = 0.95, seed = 42 }: CompareOptions = {},
): Omit<EvaluationDifference, "dataset" | "estimator"> {
  requireSameRows(before, after);
  const pairs = before
    .map((first, index) => ({ row: first, first: first.score, second: after[index]!.score }))
    .filter(({ row, first, second }) => row.mos !== null && first !== null && second !== null);
  const firsts = pairs.map(({ first }) => first!);
  const seconds = pairs.map(({ second }) => second!);
  const labels = pairs.map(({ row }) => row.mos!);
  const groups = pairs.map(({ row }) => groupOf(row));
  const found = bootstrapDifference(firsts, seconds, labels, { groups, resamples, level, seed });
  const [earlier, later] = [srcc(firsts, labels), srcc(seconds, labels)];
  const difference = earlier === null || later === null ? null : later - earlier;
  const { reasons, or } = collectReasons();
  // The side that has no correlation says why there is no difference.
  const lacking = earlier === null ? firsts : seconds;
  return {
    n: pairs.length,
    before: or("before", earlier, whyNoCorrelation(firsts, labels)),
    after: or("after", later, whyNoCorrelation(seconds, labels)),
    difference: or("difference", difference, whyNoCorrelation(lacking, labels)),
    interval: or(
      "interval",
      found && { low: found.low, high: found.high, resamples: found.resamples },
      whyNoInterval(lacking, labels, groups, difference),
    ),
    reasons,
  };
}

function requireSameRows(before: readonly Prediction[], after: readonly Prediction[]): void {
  const rowOf = ({ id, file, line, group, mos }: Prediction): string => JSON.stringify([id, file, line, group, mos]);
  const wrong = before.findIndex((one, index) => after[index] === undefined || rowOf(one) !== rowOf(after[index]));
  if (before.length === after.length && wrong < 0) return;
  const where = wrong < 0 ? `there are ${before.length} and ${after.length}` : `row ${before[wrong]!.id} differs`;
  throw new ConfigError(
    "EVAL_ROWS_DIFFER",
    `two evaluations can be compared row by row only, and their rows are not the same: ${where}. Evaluate both models on the same data files.`,
  );
}
