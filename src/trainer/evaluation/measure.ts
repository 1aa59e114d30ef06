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
  const reasons: Record<string, string> = {};
  const undefinedBecause = whyUndefined(scores, labels);
  const orReason = <T>(name: string, value: T | null, reason: string | null): T | null => {
    if (value === null) reasons[name] = undefinedBecause ?? reason ?? "it is not defined for these numbers";
    return value;
  };
  const types = typeResults(points);
  const answers = predictions.flatMap((prediction) => prediction.answers);
  const valid = predictions.filter(({ score }) => score !== null);
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
    formatRate: mean(answers.map(({ inFormat }) => (inFormat ? 1 : 0))),
    meanTokens: mean(answers.map(({ tokens }) => tokens)),
    spread: standardDeviation(valid.map(({ score }) => score!)),
    meanStd: mean(predictions.map(({ std }) => std).filter((std) => std !== null)),
    meanValidMass: mean(predictions.map(({ validMass }) => validMass).filter((mass) => mass !== null)),
    srcc: orReason("srcc", srcc(scores, labels), null),
    srccInterval: orReason("srccInterval", interval("srcc", points, options), FEW_GROUPS),
    krcc: orReason("krcc", krcc(scores, labels), null),
    plcc: orReason("plcc", plcc(scores, labels), null),
    plccInterval: orReason("plccInterval", interval("plcc", points, options), FEW_GROUPS),
    fitted: orReason("fitted", fit(scores, labels), NO_FIT),
    pairwiseAccuracy: orReason("pairwiseAccuracy", pairwiseAccuracy(scores, labels), null),
    fidelity: orReason("fidelity", meanFidelity(predictions, options), "no two pictures can be compared"),
    types,
    meanTypeSrcc: orReason(
      "meanTypeSrcc",
      mean(types.map((one) => one.srcc).filter((value) => value !== null)),
      types.length === 0 ? "the rows have no type" : "it is defined within no type",
    ),
    reasons,
  };
}

const FEW_GROUPS = "there are fewer than two groups to draw from, or most resamples have no correlation";
const NO_FIT = "the logistic fit takes at least five pictures, and must converge";

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

function whyUndefined(scores: readonly number[], labels: readonly number[]): string | null {
  if (scores.length < 3) return `only ${scores.length} pictures have a score and a label, and it takes 3`;
  if (scores.every((score) => score === scores[0])) return `all predictions are ${scores[0]!}`;
  if (labels.every((label) => label === labels[0])) return `all labels are ${labels[0]!}`;
  return null;
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
    return {
      type,
      n: own.length,
      srcc: srcc(
        own.map(({ score }) => score),
        own.map(({ mos }) => mos),
      ),
    };
  });
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
