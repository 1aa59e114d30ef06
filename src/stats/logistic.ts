/**
 * The four-parameter logistic by which image-quality papers map predictions onto the scale of the labels before PLCC and
 * RMSE: `f(x) = (b1 - b2) / (1 + exp(-(x - b3) / |b4|)) + b2`.
 *
 * Source: VQEG's final report of FR-TV phase I (2000). b1 and b2 enter linearly, so for any b3 and b4 the best ones are
 * known, and the search is over two numbers only (variable projection: Golub and Pereyra 1973, with Kaufman's
 * derivative of 1975), by Levenberg's and Marquardt's method, from the field's start b3 = mean x, b4 = std x / 4.
 *
 * @module
 */

import { plcc } from "./correlation.js";
import { mean } from "./moments.js";

export type LogisticParameters = readonly [b1: number, b2: number, b3: number, b4: number];

export interface LogisticFit {
  /** b4 is positive. The curve falls where b1 < b2: look at the raw correlation's sign for the direction. */
  readonly parameters: LogisticParameters;
  readonly predict: (x: number) => number;
  /** Pearson correlation of predict(x) and y. */
  readonly plcc: number;
  /** Root of the mean squared difference of predict(x) and y, on the scale of y. */
  readonly rmse: number;
}

/**
 * Offset b3 / b4 and logarithm of the width b4, for standardised x: the curve's argument is x / width - offset. In these
 * two the valleys that lead to lines and exponential curves run straight.
 */
type Shape = readonly [offset: number, logWidth: number];

/** With no more points than parameters any curve fits. */
const FEWEST_POINTS = 5;
const MOST_ITERATIONS = 300;
/** Relative decrease of the squared error below which an accepted step is called the last. */
const TOLERANCE = 1e-9;
/** Damping beyond which no step helps: the minimum is reached as far as doubles can tell. */
const MOST_DAMPING = 1e12;
/**
 * Points on a line or an exponential curve are fitted best by a logistic at infinity. Wider or further out than this it
 * differs from them by less than 1e-6, and b1 and b2 would only lose digits.
 */
const WIDTHS = { least: Math.log(1e-4), most: Math.log(1e3) };
/** Widths between the centre and the nearest point. */
const FURTHEST_CENTRE = 16;
/** The field's start, and a wider one for scattered points, where the first may end in a step between two of them. */
const STARTS: readonly Shape[] = [
  [0, Math.log(0.25)],
  [0, 0],
];

/**
 * @param x predictions
 * @param y labels, as many
 * @returns null for fewer than five points, a constant side, values that are not finite, or when the search does not settle
 */
export function fitLogistic(x: readonly number[], y: readonly number[]): LogisticFit | null {
  if (plcc(x, y) === null || x.length < FEWEST_POINTS) return null;
  const centre = mean(x)!;
  const spread = Math.sqrt(mean(x.map((value) => (value - centre) ** 2))!);
  const standard = x.map((value) => (value - centre) / spread);
  const minima = STARTS.map((start) => minimise(standard, y, start)).filter((minimum) => minimum !== null);
  const best = minima.toSorted((a, b) => a.curve.error - b.curve.error)[0];
  if (best === undefined) return null;

  const [offset, logWidth] = best.shape;
  const { rise, base } = best.curve;
  const parameters: LogisticParameters = [
    base + rise,
    base,
    centre + spread * offset * Math.exp(logWidth),
    spread * Math.exp(logWidth),
  ];
  const predict = (value: number): number => base + rise * sigmoid((value - parameters[2]) / parameters[3]);
  const fitted = x.map(predict);
  const correlation = plcc(fitted, y);
  if (correlation === null) return null;
  const squares = fitted.map((value, index) => (y[index]! - value) ** 2);
  return { parameters, predict, plcc: correlation, rmse: Math.sqrt(mean(squares)!) };
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

interface Minimum {
  readonly shape: Shape;
  readonly curve: Curve;
}

/** Null when the search does not settle. */
function minimise(x: readonly number[], y: readonly number[], start: Shape): Minimum | null {
  const extent = [x.reduce((a, b) => Math.min(a, b)), x.reduce((a, b) => Math.max(a, b))] as const;
  let shape = start;
  let curve = curveThrough(x, y, shape);
  let damping = 1e-3;
  for (let iteration = 0; iteration < MOST_ITERATIONS; iteration++) {
    const step = stepFrom(x, shape, curve);
    for (;;) {
      if (damping > MOST_DAMPING) return { shape, curve };
      const candidate = within(shape, step(damping), extent);
      const next = curveThrough(x, y, candidate);
      const accepted = next.error < curve.error;
      damping *= accepted ? 0.1 : 10;
      if (!accepted) continue;
      const settled = curve.error - next.error <= TOLERANCE * curve.error;
      shape = candidate;
      curve = next;
      if (settled) return { shape, curve };
      break;
    }
  }
  return null;
}

interface Curve {
  readonly rise: number;
  readonly base: number;
  /** Each point's share of the rise, less their mean, and the sum of its squares. */
  readonly shares: readonly number[];
  readonly shareSquares: number;
  readonly residuals: readonly number[];
  /** Sum of the squared residuals; infinite where the shape puts all points on one level. */
  readonly error: number;
}

/** The best curve of a given shape: a straight line of y over the sigmoid. */
function curveThrough(x: readonly number[], y: readonly number[], [offset, logWidth]: Shape): Curve {
  const width = Math.exp(logWidth);
  const raw = x.map((value) => sigmoid(value / width - offset));
  const [rawMean, yMean] = [mean(raw)!, mean(y)!];
  const shares = raw.map((value) => value - rawMean);
  const shareSquares = dot(shares, shares);
  const rise = dot(shares, y) / shareSquares;
  const residuals = y.map((value, index) => value - yMean - rise * shares[index]!);
  const error = dot(residuals, residuals);
  return {
    rise,
    base: yMean - rise * rawMean,
    shares,
    shareSquares,
    residuals,
    error: shareSquares > 0 ? error : Infinity,
  };
}

/** The damped Gauss-Newton step as a function of the damping. */
function stepFrom(x: readonly number[], [offset, logWidth]: Shape, curve: Curve): (damping: number) => Shape {
  const width = Math.exp(logWidth);
  const { rise, shares, shareSquares, residuals } = curve;
  const slopes = x.map((value) => {
    const distance = value / width - offset;
    return -rise * sigmoid(distance) * sigmoid(-distance);
  });
  const [byOffset, byWidth] = [slopes, slopes.map((slope, index) => (slope * x[index]!) / width)].map((derivative) => {
    const level = mean(derivative)!;
    const along = dot(derivative, shares) / shareSquares;
    return derivative.map((value, index) => value - level - along * shares[index]!);
  }) as [number[], number[]];
  const [a, b, c] = [dot(byOffset, byOffset), dot(byOffset, byWidth), dot(byWidth, byWidth)];
  const [p, q] = [dot(byOffset, residuals), dot(byWidth, residuals)];
  return (damping) => {
    const [dampedA, dampedC] = [a * (1 + damping), c * (1 + damping)];
    const determinant = dampedA * dampedC - b * b;
    return [(p * dampedC - q * b) / determinant, (q * dampedA - p * b) / determinant];
  };
}

function within(shape: Shape, step: Shape, extent: readonly [lowest: number, highest: number]): Shape {
  const logWidth = Math.min(WIDTHS.most, Math.max(WIDTHS.least, shape[1] + step[1]));
  const [lowest, highest] = extent.map((end) => end / Math.exp(logWidth)) as [number, number];
  const offset = Math.min(highest + FURTHEST_CENTRE, Math.max(lowest - FURTHEST_CENTRE, shape[0] + step[0]));
  return [offset, logWidth];
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + value * b[index]!, 0);
}
