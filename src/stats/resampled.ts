/**
 * Correlations of a resample without making it: a resample is how often each point is in it, and points are sorted once.
 *
 * Equal to `srcc` and `plcc` of the repeated points, in linear time, which is what makes a thousand resamples cheap.
 *
 * @module
 */
import { ascending, runs } from "./correlation.js";

/** @param counts how often each point is in the resample */
export type ResampledStatistic = (counts: ArrayLike<number>) => number | null;

/** Points below which a correlation says nothing. */
const FEWEST_POINTS = 3;

/** Pearson's correlation of resamples of (x, y); null where it is not defined. */
export function resampledPlcc(x: readonly number[], y: readonly number[]): ResampledStatistic {
  return (counts) => weightedCorrelation(x, y, counts);
}

/** Spearman's correlation of resamples of (x, y); null where it is not defined. */
export function resampledSrcc(x: readonly number[], y: readonly number[]): ResampledStatistic {
  const ranksOf = [x, y].map(rankedBy) as [Ranking, Ranking];
  const ranks = [new Float64Array(x.length), new Float64Array(y.length)] as const;
  return (counts) => {
    ranksOf[0](counts, ranks[0]);
    ranksOf[1](counts, ranks[1]);
    return weightedCorrelation(ranks[0], ranks[1], counts);
  };
}

/** Writes the average rank of each point within a resample. */
type Ranking = (counts: ArrayLike<number>, into: Float64Array) => void;

function rankedBy(values: readonly number[]): Ranking {
  const order = ascending(values);
  const ties = runs(order, (a, b) => values[a] === values[b]);
  return (counts, into) => {
    let before = 0;
    for (const [from, to] of ties) {
      let tied = 0;
      for (let position = from; position < to; position++) tied += counts[order[position]!]!;
      for (let position = from; position < to; position++) into[order[position]!] = before + (tied + 1) / 2;
      before += tied;
    }
  };
}

function weightedCorrelation(x: ArrayLike<number>, y: ArrayLike<number>, counts: ArrayLike<number>): number | null {
  let total = 0;
  let [xSum, ySum] = [0, 0];
  let [xLeast, xMost, yLeast, yMost] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let index = 0; index < x.length; index++) {
    const count = counts[index]!;
    if (count === 0) continue;
    const [a, b] = [x[index]!, y[index]!];
    total += count;
    xSum += count * a;
    ySum += count * b;
    xLeast = Math.min(xLeast, a);
    xMost = Math.max(xMost, a);
    yLeast = Math.min(yLeast, b);
    yMost = Math.max(yMost, b);
  }
  // A constant side is told by its values: the rounding of its mean would leave it a variance.
  if (total < FEWEST_POINTS || xLeast === xMost || yLeast === yMost) return null;
  const [xMean, yMean] = [xSum / total, ySum / total];
  let [xx, yy, xy] = [0, 0, 0];
  for (let index = 0; index < x.length; index++) {
    const count = counts[index]!;
    if (count === 0) continue;
    const [xDeviation, yDeviation] = [x[index]! - xMean, y[index]! - yMean];
    xx += count * xDeviation * xDeviation;
    yy += count * yDeviation * yDeviation;
    xy += count * xDeviation * yDeviation;
  }
  const correlation = xy / xx / Math.sqrt(yy / xx);
  return Number.isFinite(correlation) ? Math.min(1, Math.max(-1, correlation)) : null;
}
