/**
 * Scores of any range and direction to 1 (bad) .. 5 (excellent).
 *
 * @module
 */
import { DataError } from "../../errors.js";
import type { LabelPreset, LabelRange } from "./preset.js";

/** Where the range comes from: the data set's description, the scores of the training part, or all of them. */
export type Normalisation = "nominal" | "train" | "all";

export interface Scale {
  /** On the labels' own scale; `min` becomes 1 and `max` 5, or the other way round. */
  readonly range: LabelRange;
  readonly better: LabelPreset["better"];
  /** 1 to 5 for scores in the range; others come out beyond. */
  score(raw: number): number;
  /** A deviation, which only changes its unit. */
  deviation(raw: number): number;
}

/** @throws DataError DATA_CONSTANT_LABELS for a range without extent */
export function createScale({ min, max }: LabelRange, better: LabelPreset["better"]): Scale {
  if (!(max > min)) {
    throw new DataError(
      "DATA_CONSTANT_LABELS",
      `The scores go from ${min} to ${max}, which leaves nothing to rank. Is it the right column?`,
      { fields: { min, max } },
    );
  }
  const range = { min, max };
  // Not (raw - 1) / 4 * 4 + 1, which turns 4.57 into another number in its last digits.
  const isTarget = better === "higher" && min === 1 && max === 5;
  const extent = max - min;
  return {
    range,
    better,
    score(raw) {
      if (isTarget) return raw;
      // In the order of the reference's make_data.py, so that its published lists come out to the last bit.
      return ((better === "higher" ? raw - min : max - raw) / extent) * 4 + 1;
    },
    deviation: (raw) => (isTarget ? raw : (raw / extent) * 4),
  };
}

/** The least range that holds the scores. */
export function rangeOf(scores: Iterable<number>): LabelRange {
  let [min, max] = [Infinity, -Infinity];
  for (const score of scores) {
    min = Math.min(min, score);
    max = Math.max(max, score);
  }
  return { min, max };
}
