/**
 * Mean, variance, quantiles. What is not defined for so few values is null.
 *
 * @module
 */

/** @returns the arithmetic mean; null for no values. */
export function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const first = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (!Number.isFinite(first)) return first;
  return first + values.reduce((sum, value) => sum + (value - first), 0) / values.length;
}

/** @returns the unbiased variance (divides by n - 1); null for fewer than two values. */
export function variance(values: readonly number[]): number | null {
  const centre = mean(values);
  if (centre === null || values.length < 2) return null;
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1);
}

/** @returns the square root of the unbiased variance; null for fewer than two values. */
export function standardDeviation(values: readonly number[]): number | null {
  const squared = variance(values);
  return squared === null ? null : Math.sqrt(squared);
}

/**
 * @param probability in [0, 1]
 * @returns the quantile by linear interpolation between order statistics (NumPy's default); null for no values
 */
export function quantile(values: readonly number[], probability: number): number | null {
  if (!(probability >= 0 && probability <= 1)) {
    throw new RangeError(`quantile: the probability is ${probability}, expected a number from 0 to 1`);
  }
  const sorted = values.toSorted((a, b) => a - b);
  const position = probability * (sorted.length - 1);
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) return null;
  return below + (above - below) * (position - Math.floor(position));
}
