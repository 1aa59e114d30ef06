/**
 * From predictions to metrics. Pure: the same predictions give the same numbers everywhere.
 *
 * Conventions: average ranks, tau-b, raw Pearson with its sign; the logistic fit of the field, labelled as fitted on the
 * test labels; intervals over source groups.
 *
 * @module
 */
import { constantAnswerReward, fidelity, SCORE_RANGE } from "../../rewards/index.js";
import type { FidelityOptions, RatedGroup } from "../../rewards/index.js";
import {
  bootstrapInterval,
  fitLogistic,
  foldKey,
  krcc,
  mean,
  mix64,
  pairwiseAccuracy,
  plcc,
  quantile,
  shuffle,
  srcc,
  standardDeviation,
} from "../../stats/index.js";
import type { BootstrapInterval } from "../../stats/index.js";
import { collectReasons, whyNoCorrelation, whyNoFit, whyNoInterval, whyNoPairs } from "./reasons.js";
import type { EstimatorResult, FidelityResult, OnMissing, Prediction, TypeResult } from "./results.js";

export interface MeasureOptions {
  /** Resamples of the intervals. */
  readonly bootstrap: number;
  /** Names the draws of resamples and of comparison sets. */
  readonly seed: number;
  readonly onMissing: OnMissing;
  /** How training compares pictures. Default: its defaults. */
  readonly fidelity?: FidelityOptions;
}

/** More pictures than these are compared in sets: all pairs of KADID-10k would be 51 million. */
const ALL_PAIRS = 1024;
const COMPARISON_SET = 256;
/** Names the draw of comparison sets, so that it is none of the resamples'. */
const COMPARISON_DRAW = -1;

/** A prediction with a score and a label. */
interface Point {
  readonly score: number;
  readonly mos: number;
  readonly group: string;
  readonly type: string | null;
}

/** @param predictions of one data set and one estimator */
export function measure(predictions: readonly Prediction[], options: MeasureOptions): EstimatorResult {
  const points = pointsOf(predictions, options.onMissing);
  const scores = points.map(({ score }) => score);
  const labels = points.map(({ mos }) => mos);
  const groups = points.map(({ group }) => group);
  const { reasons, or } = collectReasons();
  const types = typeResults(points);
  const answers = predictions.flatMap((prediction) => prediction.answers);
  const valid = predictions.filter(({ score }) => score !== null);
  const [spearman, pearson] = [srcc(scores, labels), plcc(scores, labels)];
  const noCorrelation = whyNoCorrelation(scores, labels);
  const noInterval = (correlation: number | null): string => whyNoInterval(scores, labels, groups, correlation);
  return {
    n: predictions.length,
    labelled: predictions.filter(({ mos }) => mos !== null).length,
    scored: valid.length,
    unparsable: predictions.length - valid.length,
    imputed:
      options.onMissing === "worst" ? predictions.filter(({ score, mos }) => score === null && mos !== null).length : 0,
    responses: answers.length,
    unparsableResponses: answers.filter(({ status }) => status === "failed").length,
    outOfRange: answers.filter(({ status }) => status === "clamped").length,
    truncated: answers.filter(({ cut }) => cut).length,
    formatRate: or("formatRate", mean(answers.map(({ inFormat }) => (inFormat ? 1 : 0))), NO_ANSWERS),
    meanTokens: or("meanTokens", mean(answers.map(({ tokens }) => tokens)), NO_ANSWERS),
    spread: or(
      "spread",
      standardDeviation(valid.map(({ score }) => score!)),
      `${valid.length === 1 ? "only 1 picture has" : "no picture has"} a score, and it takes 2`,
    ),
    meanStd: or("meanStd", meanKnown(predictions.map(({ std }) => std)), NO_STD),
    meanValidMass: or("meanValidMass", meanKnown(predictions.map(({ validMass }) => validMass)), NO_MASS),
    srcc: or("srcc", spearman, noCorrelation),
    srccInterval: or("srccInterval", interval("srcc", points, options), noInterval(spearman)),
    krcc: or("krcc", krcc(scores, labels), noCorrelation),
    plcc: or("plcc", pearson, noCorrelation),
    plccInterval: or("plccInterval", interval("plcc", points, options), noInterval(pearson)),
    fitted: or("fitted", fit(scores, labels), whyNoFit(scores, labels)),
    pairwiseAccuracy: or("pairwiseAccuracy", pairwiseAccuracy(scores, labels), whyNoPairs(labels)),
    fidelity: or("fidelity", meanFidelity(predictions, options), NO_COMPARISON),
    types,
    meanTypeSrcc: or(
      "meanTypeSrcc",
      meanKnown(types.map((one) => one.srcc)),
      types.length === 0 ? "no picture with a score and a label has a type" : "it is defined within no type",
    ),
    reasons,
  };
}

const NO_ANSWERS = "no answers were written; the expected score reads probabilities";
const NO_STD = "no picture has a deviation of its own, which takes two readable answers or an expected score";
const NO_MASS = "no picture has one; only the expected score does";
const NO_COMPARISON = "no two pictures of one data set can be compared: it takes labels, and scores to compare with";

/** Group of a prediction as it is drawn: its own where the row names none. */
export function groupOf({ group, file, line }: Pick<Prediction, "group" | "file" | "line">): string {
  return group === null ? `row ${file}:${line}` : `group ${group}`;
}

function pointsOf(predictions: readonly Prediction[], onMissing: OnMissing): Point[] {
  const labelled = predictions.filter(({ mos }) => mos !== null);
  const median = quantile(
    labelled.map(({ mos }) => mos!),
    0.5,
  );
  return labelled.flatMap((prediction) => {
    const { type, score: given } = prediction;
    const mos = prediction.mos!;
    const worst = mos >= median! ? SCORE_RANGE.minimum : SCORE_RANGE.maximum;
    const score = given ?? (onMissing === "worst" ? worst : null);
    return score === null ? [] : [{ score, mos, group: groupOf(prediction), type }];
  });
}

function interval(
  statistic: "srcc" | "plcc",
  points: readonly Point[],
  { bootstrap, seed }: MeasureOptions,
): BootstrapInterval | null {
  return bootstrapInterval(
    points.map(({ score }) => score),
    points.map(({ mos }) => mos),
    { statistic, groups: points.map(({ group }) => group), resamples: bootstrap, seed },
  );
}

function fit(scores: readonly number[], labels: readonly number[]): EstimatorResult["fitted"] {
  const found = fitLogistic(scores, labels);
  return found && { on: "test", plcc: found.plcc, rmse: found.rmse, parameters: found.parameters };
}

function typeResults(points: readonly Point[]): TypeResult[] {
  const types = [...new Set(points.map(({ type }) => type).filter((type) => type !== null))].sort();
  return types.map((type) => {
    const own = points.filter((point) => point.type === type);
    const [scores, labels] = [own.map(({ score }) => score), own.map(({ mos }) => mos)];
    const correlation = srcc(scores, labels);
    const reason = correlation === null ? whyNoCorrelation(scores, labels) : null;
    return { type, n: own.length, srcc: correlation, reason };
  });
}

function meanKnown(values: readonly (number | null)[]): number | null {
  return mean(values.filter((value) => value !== null));
}

/** As the reward of training: an answer without a score earns 0. An estimator with one score per picture has no variance. */
function meanFidelity(predictions: readonly Prediction[], options: MeasureOptions): FidelityResult | null {
  const several = predictions.some(({ answers }) => answers.length > 1);
  const labelled = predictions.filter(({ mos }) => mos !== null);
  const dealt = labelled.length > ALL_PAIRS;
  const order = dealt ? shuffle(labelled, foldKey(mix64(BigInt(options.seed)), COMPARISON_DRAW)) : labelled;
  const groups = order.map(({ dataset, mos, score, answers }): RatedGroup => ({
    dataset,
    mos: mos!,
    scores: several ? answers.map((answer) => answer.score) : [score],
  }));
  const comparison: FidelityOptions = {
    ...options.fidelity,
    ...(!several && { variance: "fixed" as const, varianceFloor: 1, referenceParity: false }),
    ...(dealt && { comparisonSet: COMPARISON_SET }),
  };
  const average = mean(
    fidelity(groups, comparison)
      .flat()
      .filter((value) => value !== null),
  );
  const constantAnswer = constantAnswerReward(groups, comparison);
  if (average === null || constantAnswer === null) return null;
  return {
    mean: average,
    constantAnswer,
    variance: several ? "answers" : "fixed",
    comparisonSet: dealt ? COMPARISON_SET : null,
  };
}
