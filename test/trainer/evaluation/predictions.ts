/**
 * Predictions made by hand, for tests of what is computed from them.
 *
 * @module
 */
import type { Prediction } from "../../../src/index.js";

/** Greedy predictions of one data set, a row each. */
export function predictionsOf(
  scores: readonly (number | null)[],
  labels: readonly (number | null)[],
  more: (row: number) => Partial<Prediction> = () => ({}),
): Prediction[] {
  return scores.map((score, row) => ({
    dataset: "made",
    id: String(row),
    file: 0,
    line: row + 1,
    group: null,
    type: null,
    mos: labels[row]!,
    estimator: "greedy",
    score,
    std: null,
    status: score === null ? "failed" : "ok",
    reason: score === null ? "unreadable" : null,
    validMass: null,
    answers: [],
    thoughts: null,
    ...more(row),
  }));
}
