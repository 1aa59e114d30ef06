/**
 * What all plots share.
 *
 * @module
 */
import type { EstimatorName } from "../estimators.js";

/** Told apart by people who do not see red and green as well. */
export const estimatorColours: Readonly<Record<EstimatorName, string>> = {
  sampled: "#0072b2",
  greedy: "#b5651d",
  expected: "#00795c",
};

/** A coordinate: two decimals are finer than any screen, and the same on every machine. */
export function svgNumber(value: number): string {
  return String(Number(value.toFixed(2)));
}
