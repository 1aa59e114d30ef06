/**
 * Correlations between predictions and labels: SRCC, KRCC (tau-b), PLCC, and the share of pairs in the right order.
 *
 * All give null where no correlation is defined: fewer than three points, one side constant, a value that is not finite.
 * The sign is kept.
 *
 * @module
 */

import { mean } from "./moments.js";

/** Points below which a correlation says nothing: any two points are perfectly correlated. */
const FEWEST_POINTS = 3;

/** @returns 1-based ranks in ascending order; ties get the average of the ranks they take up. */
export function ranks(values: readonly number[]): number[] {
  const order = ascending(values);
  const result = Array.from<number>({ length: values.length });
  for (const [from, to] of runs(order, (a, b) => values[a] === values[b])) {
    for (let position = from; position < to; position++) result[order[position]!] = (from + to + 1) / 2;
  }
  return result;
}

/** Spearman's rank correlation: Pearson's of the average ranks. */
export function srcc(x: readonly number[], y: readonly number[]): number | null {
  return isDegenerate(x, y) ? null : plcc(ranks(x), ranks(y));
}

/** Pearson's linear correlation. */
export function plcc(x: readonly number[], y: readonly number[]): number | null {
  if (isDegenerate(x, y)) return null;
  const xMean = mean(x)!;
  const yMean = mean(y)!;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let index = 0; index < x.length; index++) {
    const xDeviation = x[index]! - xMean;
    const yDeviation = y[index]! - yMean;
    xx += xDeviation * xDeviation;
    yy += yDeviation * yDeviation;
    xy += xDeviation * yDeviation;
  }
  const correlation = xy / xx / Math.sqrt(yy / xx);
  return Number.isFinite(correlation) ? clamp(correlation) : null;
}

/**
 * Kendall's tau-b.
 *
 * Source: W. R. Knight, "A computer method for calculating Kendall's tau with ungrouped data", 1966: sort by x, then
 * count the exchanges a merge sort by y needs; O(n log n).
 */
export function krcc(x: readonly number[], y: readonly number[]): number | null {
  if (isDegenerate(x, y)) return null;
  const { difference, xUntied, yUntied } = countPairs(x, y);
  return clamp(difference / xUntied / Math.sqrt(yUntied / xUntied));
}

/**
 * Share of pairs that predictions order as the labels do. Pairs of equal labels are left out, equal predictions count half,
 * so that a constant prediction has 0.5.
 *
 * @param predictions any numbers
 * @param labels as many
 * @returns 0 to 1; null where no two labels differ, or for a value that is not finite
 */
export function pairwiseAccuracy(predictions: readonly number[], labels: readonly number[]): number | null {
  requireSameLength(predictions, labels);
  if (isConstant(labels) || ![predictions, labels].every((side) => side.every(Number.isFinite))) return null;
  const { difference, yUntied } = countPairs(predictions, labels);
  return 0.5 + difference / (2 * yUntied);
}

interface PairCounts {
  /** Pairs in the same order on both sides, minus those in the opposite order. */
  readonly difference: number;
  /** Pairs that differ in x, and in y. */
  readonly xUntied: number;
  readonly yUntied: number;
}

function countPairs(x: readonly number[], y: readonly number[]): PairCounts {
  const order = x.map((_, index) => index).sort((a, b) => x[a]! - x[b]! || y[a]! - y[b]!);
  const pairs = pairsOf(x.length);
  const xTies = tiedPairs(order, (a, b) => x[a] === x[b]);
  const yTies = tiedPairs(ascending(y), (a, b) => y[a] === y[b]);
  const bothTied = tiedPairs(order, (a, b) => x[a] === x[b] && y[a] === y[b]);
  const discordant = exchanges(order.map((index) => y[index]!));
  const difference = pairs - xTies - yTies + bothTied - 2 * discordant;
  return { difference, xUntied: pairs - xTies, yUntied: pairs - yTies };
}

/** @throws RangeError */
export function requireSameLength(x: { readonly length: number }, y: { readonly length: number }): void {
  if (x.length === y.length) return;
  throw new RangeError(`a correlation needs pairs, and there are ${x.length} values of x and ${y.length} of y`);
}

function isDegenerate(x: readonly number[], y: readonly number[]): boolean {
  requireSameLength(x, y);
  return x.length < FEWEST_POINTS || [x, y].some((side) => isConstant(side) || !side.every(Number.isFinite));
}

function isConstant(values: readonly number[]): boolean {
  return values.every((value) => value === values[0]);
}

/** Rounding may carry a perfect correlation past 1. */
function clamp(correlation: number): number {
  return Math.min(1, Math.max(-1, correlation));
}

/** @returns positions in ascending order of their values */
export function ascending(values: readonly number[]): number[] {
  return values.map((_, index) => index).sort((a, b) => values[a]! - values[b]!);
}

function pairsOf(count: number): number {
  return (count * (count - 1)) / 2;
}

function tiedPairs(order: readonly number[], same: (a: number, b: number) => boolean): number {
  return runs(order, same).reduce((sum, [from, to]) => sum + pairsOf(to - from), 0);
}

/** Half-open ranges of positions whose items are the same as their neighbours. */
export function runs(order: readonly number[], same: (a: number, b: number) => boolean): [from: number, to: number][] {
  const result: [number, number][] = [];
  for (let from = 0, to = 1; from < order.length; from = to, to++) {
    while (to < order.length && same(order[from]!, order[to]!)) to++;
    result.push([from, to]);
  }
  return result;
}

/** Pairs that stand in descending order. */
function exchanges(values: readonly number[]): number {
  let source = [...values];
  let target = Array.from<number>({ length: values.length });
  let count = 0;
  for (let width = 1; width < source.length; width *= 2) {
    for (let start = 0; start < source.length; start += 2 * width) {
      const middle = Math.min(start + width, source.length);
      const end = Math.min(start + 2 * width, source.length);
      let left = start;
      let right = middle;
      for (let position = start; position < end; position++) {
        const takeRight = right < end && (left === middle || source[right]! < source[left]!);
        if (takeRight) count += middle - left;
        target[position] = takeRight ? source[right++]! : source[left++]!;
      }
    }
    [source, target] = [target, source];
  }
  return count;
}
