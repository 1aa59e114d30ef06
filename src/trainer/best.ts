/**
 * Which checkpoint of a run is the best one, by what its model made of the held-out pictures.
 *
 * @module
 */
import { mean } from "../stats/index.js";
import { byEstimator } from "./evaluation/index.js";
import type { HeldOutEvaluation } from "./events.js";

/** A step, and what it is judged by: `value` is better the higher it is. */
export interface Judged {
  readonly step: number;
  readonly value: number;
}

/**
 * The best of the steps that have a checkpoint; of equal ones the first.
 *
 * A step's value is the mean over data sets of the SRCC of the first estimator, in the order in which estimators are
 * reported; where rows have no MOS, the negative held-out loss. A step with a data set whose SRCC is undefined (all
 * scores alike) has no value.
 *
 * @param steps that have a checkpoint
 * @returns null where no step has a value
 */
export function bestOf(evaluations: readonly HeldOutEvaluation[], steps: readonly number[]): Judged | null {
  let best: Judged | null = null;
  for (const evaluation of evaluations) {
    const value = valueOf(evaluation);
    if (value === null || !steps.includes(evaluation.step)) continue;
    if (best === null || value > best.value) best = { step: evaluation.step, value };
  }
  return best;
}

function valueOf({ results, loss }: HeldOutEvaluation): number | null {
  if (results.length === 0) return loss === undefined ? null : -loss;
  const values = results.map((result) => byEstimator(result)[0]?.[1].srcc ?? null);
  return values.every((value) => value !== null) ? mean(values) : null;
}
