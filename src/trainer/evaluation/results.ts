/**
 * What an evaluation says: a prediction per picture and estimator, and what they come to per data set and estimator.
 *
 * Data sets are never pooled, because their labels have scales of their own, and estimators are never mixed.
 *
 * @module
 */
import type { BootstrapInterval, LogisticParameters } from "../../stats/index.js";
import type { ParseStatus } from "../../rewards/index.js";
import { estimatorNames } from "../estimators.js";
import type { EstimatorName } from "../estimators.js";
import type { Reasons } from "./reasons.js";

/** One answer as the model wrote it. */
export interface Answer {
  readonly text: string;
  /** 1 to 5; null where no score could be read. */
  readonly score: number | null;
  readonly status: ParseStatus;
  /** Tokens, the end token included. */
  readonly tokens: number;
  /** Cut at the greatest length. */
  readonly cut: boolean;
  /** In the layout that was asked for. */
  readonly inFormat: boolean;
}

/** What one estimator says of one row. */
export interface Prediction {
  readonly dataset: string;
  readonly id: string;
  /** Index of the data file and 1-based line. */
  readonly file: number;
  readonly line: number;
  readonly group: string | null;
  readonly type: string | null;
  /** Label; null where the row has none. */
  readonly mos: number | null;
  readonly estimator: EstimatorName;
  /** 1 to 5; null where there is none, which is never replaced here. */
  readonly score: number | null;
  /** Standard deviation: of the valid answers (sampled), of the distribution (expected); null for greedy. */
  readonly std: number | null;
  readonly status: ParseStatus;
  /** Why there is no score; null where there is one. */
  readonly reason: string | null;
  /** Expected only: probability of an answer of the form D.TH. */
  readonly validMass: number | null;
  /** Sampled and greedy: the answers, in order. Empty for expected. */
  readonly answers: readonly Answer[];
  /** Expected only: what the model had written in front of its answer, the answer tag included; null where it wrote none. */
  readonly thoughts: string | null;
}

/** What becomes of pictures without a score. */
export type OnMissing = "fail" | "exclude" | "worst";

/** Spearman correlation within one distortion type. */
export interface TypeResult {
  readonly type: string;
  /** Pictures with a score and a label. */
  readonly n: number;
  readonly srcc: number | null;
  /** Why there is no correlation; null where there is one. */
  readonly reason: string | null;
}

/** Agreement after a monotone map that was fitted on the very labels it is tested on: never to be compared with raw numbers. */
export interface FittedResult {
  readonly on: "test";
  readonly plcc: number;
  /** In points of the labels' scale. */
  readonly rmse: number;
  /** Of the four-parameter logistic. */
  readonly parameters: LogisticParameters;
}

/** Mean fidelity over pairs of pictures: what training with the fidelity reward raises. */
export interface FidelityResult {
  readonly mean: number;
  /** What a model that always gives the same answer earns on the same pairs. */
  readonly constantAnswer: number;
  /** Variance of a picture's scores: of its answers (floored), or 1 where an estimator gives a single score (case V). */
  readonly variance: "answers" | "fixed";
  /** Pictures were compared in sets of so many, dealt at random, because all pairs would be too many; null: all pairs. */
  readonly comparisonSet: number | null;
}

/** Metrics of one estimator on one data set. What is not defined is null, with the reason in `reasons`. */
export interface EstimatorResult {
  /** Pictures, and those with a label. */
  readonly n: number;
  readonly labelled: number;
  /** Pictures with a score, and without one. */
  readonly scored: number;
  readonly unparsable: number;
  /** Of those without a score: how many count with the worst score (`onMissing: "worst"`). */
  readonly imputed: number;
  /** Answers, those without a readable score, those outside 1 to 5, and those cut at the greatest length. */
  readonly responses: number;
  readonly unparsableResponses: number;
  readonly outOfRange: number;
  readonly truncated: number;
  /** Share of answers in the layout that was asked for; null where no answers are written. */
  readonly formatRate: number | null;
  /** Tokens of an answer. */
  readonly meanTokens: number | null;
  /** Standard deviation of the scores over pictures, and mean over pictures of a score's own. */
  readonly spread: number | null;
  readonly meanStd: number | null;
  /** Expected only. */
  readonly meanValidMass: number | null;

  /** Spearman (average ranks), Kendall (tau-b), Pearson (raw). The sign is kept. */
  readonly srcc: number | null;
  readonly srccInterval: BootstrapInterval | null;
  readonly krcc: number | null;
  readonly plcc: number | null;
  readonly plccInterval: BootstrapInterval | null;
  readonly fitted: FittedResult | null;
  /** Share of pairs ordered as their labels; equal labels left out, equal scores count half. */
  readonly pairwiseAccuracy: number | null;
  readonly fidelity: FidelityResult | null;
  /** By distortion type, where rows have one, and the mean of those that are defined. */
  readonly types: readonly TypeResult[];
  readonly meanTypeSrcc: number | null;
  /** By name of a metric that is null: why. */
  readonly reasons: Reasons;
}

/** One data set. */
export interface DatasetResult {
  readonly dataset: string;
  /** Rows. */
  readonly n: number;
  /** What the intervals draw: groups of rows that show the same content, or single rows; and how many there are. */
  readonly resampled: "groups" | "rows";
  readonly groups: number;
  /** SHA-256 over the decoded pictures, in the order of the rows. */
  readonly pictures: string;
  /** Those that were asked for. */
  readonly estimators: { readonly [E in EstimatorName]?: EstimatorResult };
}

/** The estimators of a result with their names, in the order in which they are reported. */
export function byEstimator({ estimators }: DatasetResult): [EstimatorName, EstimatorResult][] {
  return estimatorNames.flatMap((name): [EstimatorName, EstimatorResult][] => {
    const result = estimators[name];
    return result === undefined ? [] : [[name, result]];
  });
}
