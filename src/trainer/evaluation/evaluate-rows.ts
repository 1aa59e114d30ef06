/**
 * The one path of every evaluation, in training, on the command line and in code: rows to prompts, prompts to predictions of
 * each estimator, predictions to metrics.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Row } from "../../data/index.js";
import type { Completion, Policy, Prompt, RolloutGroup } from "../../policy/index.js";
import { formatReward } from "../../rewards/index.js";
import type { ParsedScore } from "../../rewards/index.js";
import { askAnswers, askGreedy, estimatorNames, greedyEstimate, parseAnswers, sampledEstimate } from "../estimators.js";
import type { Estimate, EstimatorName } from "../estimators.js";
import { expectedEstimator, thoughtsOf } from "../expected-estimator.js";
import type { ExpectedEstimator } from "../expected-estimator.js";
import { groupOf, measure } from "./measure.js";
import type { MeasureOptions } from "./measure.js";
import type { Answer, DatasetResult, Prediction } from "./results.js";

/** Options of `evaluateRows`. */
export interface EvaluateRowsOptions extends Partial<MeasureOptions> {
  readonly estimators: readonly EstimatorName[];
  /** Sampled: answers per picture. Default 6. */
  readonly samples?: number;
  /** Sampled: temperature. Default: as the policy is configured. */
  readonly temperature?: number | undefined;
  /** Expected: behind the model's own greedy thinking, or behind a forced answer tag. Default: thinking where it is asked for. */
  readonly expectedAfter?: "thinking" | "prefix" | undefined;
  /** Names the draws. Default 0. */
  readonly step?: number;
  /** Whether the question asks for a think block. Default true. */
  readonly thinking?: boolean;
  /** Read answers as the reference's code does. Default false. */
  readonly referenceParity?: boolean;
  /** Rows asked about in one go. Their pictures are not pinned, so a large set never fills the worker's cache. Default 64. */
  readonly batch?: number;
  /** Rows that are done. */
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Metrics, and what they were computed from. */
export interface RowsEvaluation {
  /** One per data set, in the order in which data sets first occur. */
  readonly results: readonly DatasetResult[];
  /** In the order of the rows, and for each row of the estimators. */
  readonly predictions: readonly Prediction[];
}

/** Rows asked about in one go where nothing is said. */
export const ROWS_PER_CALL = 64;

export async function evaluateRows(
  policy: Policy<Row>,
  rows: readonly Row[],
  options: EvaluateRowsOptions,
): Promise<RowsEvaluation> {
  const { batch = ROWS_PER_CALL, signal, onProgress } = options;
  const estimators = estimatorNames.filter((name) => options.estimators.includes(name));
  const expected = estimators.includes("expected") ? await expectedEstimator(policy) : null;
  const predictions: Prediction[] = [];
  const hashes: string[] = [];
  for (let first = 0; first < rows.length; first += batch) {
    const prompts = await policy.encode(rows.slice(first, first + batch), {
      onPicture: ({ hash }) => hashes.push(hash),
      ...(signal && { signal }),
    });
    predictions.push(...(await predict({ policy, prompts, estimators, expected, options })));
    onProgress?.({ done: first + prompts.length, total: rows.length });
  }
  const settings: MeasureOptions = { bootstrap: 1000, seed: 0, onMissing: "fail", ...options };
  const datasets = [...new Set(rows.map((row) => row.dataset))];
  return {
    predictions,
    results: datasets.map((dataset) => {
      const own = predictions.filter((prediction) => prediction.dataset === dataset);
      const ofFirst = own.filter(({ estimator }) => estimator === estimators[0]);
      const measured = estimators.map((name) => {
        const byName = own.filter(({ estimator }) => estimator === name);
        return [name, measure(byName, settings)] as const;
      });
      return {
        dataset,
        n: ofFirst.length,
        resampled: ofFirst.some(({ group }) => group !== null) ? "groups" : "rows",
        groups: new Set(ofFirst.map(groupOf)).size,
        pictures: picturesDigest(rows, hashes, dataset),
        estimators: Object.fromEntries(measured),
      };
    }),
  };
}

interface PredictOptions {
  readonly policy: Policy<Row>;
  readonly prompts: readonly Prompt<Row>[];
  readonly estimators: readonly EstimatorName[];
  readonly expected: ExpectedEstimator<Row> | null;
  readonly options: EvaluateRowsOptions;
}

/** Predictions of all estimators for some rows. One greedy answer serves the greedy and the expected score. */
async function predict({ policy, prompts, estimators, expected, options }: PredictOptions): Promise<Prediction[]> {
  const { samples = 6, step, temperature, thinking = true, referenceParity, signal } = options;
  const { expectedAfter = thinking ? "thinking" : "prefix" } = options;
  const thoughtful = expected !== null && expectedAfter === "thinking";
  const sampled = estimators.includes("sampled")
    ? await askAnswers(policy, prompts, { samples, step, temperature, signal })
    : null;
  const greedy = estimators.includes("greedy") || thoughtful ? await askGreedy(policy, prompts, signal) : null;
  const thoughts = thoughtful ? greedy!.map(({ completions }) => thoughtsOf(completions[0]!.text)) : null;
  const distributions = await expected?.(prompts, { ...(thoughts && { thoughts }), signal });

  const parsed = (group: RolloutGroup<Row>): ParsedScore[] => parseAnswers(group.completions, referenceParity);
  const answersOf = (group: RolloutGroup<Row>): Answer[] =>
    parsed(group).map((read, index) => answerOf(group.completions[index]!, read, { thinking, referenceParity }));
  return prompts.flatMap(({ row }, index) =>
    estimators.map((estimator): Prediction => {
      if (estimator === "expected") {
        return prediction(row, estimator, distributions![index]!, [], thoughts?.[index] ?? null);
      }
      const group = (estimator === "sampled" ? sampled : greedy)![index]!;
      const estimate =
        estimator === "sampled"
          ? sampledEstimate(group.completions, parsed(group))
          : greedyEstimate(group.completions[0]!, parsed(group)[0]!);
      return prediction(row, estimator, estimate, answersOf(group), null);
    }),
  );
}

function prediction(
  row: Row,
  estimator: EstimatorName,
  { score, std, status, reason, validMass }: Estimate,
  answers: readonly Answer[],
  thoughts: string | null,
): Prediction {
  return {
    dataset: row.dataset,
    id: row.id,
    file: row.source.file,
    line: row.source.line,
    group: row.group ?? null,
    type: row.type ?? null,
    mos: row.mos ?? null,
    estimator,
    score,
    std,
    status,
    reason: reason ?? null,
    validMass: validMass ?? null,
    answers,
    thoughts,
  };
}

function answerOf(
  { text, tokenIds, finishReason }: Completion,
  { score, status }: ParsedScore,
  format: { readonly thinking: boolean; readonly referenceParity: boolean | undefined },
): Answer {
  const { thinking, referenceParity = false } = format;
  const inFormat = formatReward(text, { thinking, referenceParity }) === 1;
  return { text, score, status, tokens: tokenIds.length, cut: finishReason === "length", inFormat };
}

/** @param hashes of the pictures of all rows, one after the other */
function picturesDigest(rows: readonly Row[], hashes: readonly string[], dataset: string): string {
  const digest = createHash("sha256");
  let at = 0;
  for (const row of rows) {
    for (const hash of hashes.slice(at, at + row.images.length)) if (row.dataset === dataset) digest.update(hash);
    at += row.images.length;
  }
  return digest.digest("hex");
}
