/**
 * The four-parameter logistic by which image-quality papers map predictions onto the scale of the labels before PLCC and
 * RMSE: `f(x) = (b1 - b2) / (1 + exp(-(x - b3) / |b4|)) + b2`.
 *
 * Source: VQEG's final report of FR-TV phase I (2000); fitted by Levenberg's and Marquardt's method (Marquardt 1963) from
 * the field's usual start (max y, min y, mean x, std x / 4), on standardised x and y.
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

/** With no more points than parameters any curve fits. */
const FEWEST_POINTS = 5;
const MOST_ITERATIONS = 5000;
/** Relative decrease of the squared error below which an accepted step is called the last. */
const TOLERANCE = 1e-10;
/** Damping beyond which no step helps: the minimum is reached as far as doubles can tell. */
const MOST_DAMPING = 1e12;

/**
 * @param x predictions
 * @param y labels, as many
 * @returns null for fewer than five points, a constant side, values that are not finite, or when the search does not settle
 */
export function fitLogistic(x: readonly number[], y: readonly number[]): LogisticFit | null {
  if (plcc(x, y) === null || x.length < FEWEST_POINTS) return null;
  const xScale = standardise(x);
  const yScale = standardise(y);
  const start: LogisticParameters = [Math.max(...yScale.values), Math.min(...yScale.values), 0, 0.25];
  const standard = minimise(xScale.values, yScale.values, start);
  if (standard === null) return null;

  const parameters: LogisticParameters = [
    yScale.centre + yScale.spread * standard[0],
    yScale.centre + yScale.spread * standard[1],
    xScale.centre + xScale.spread * standard[2],
    xScale.spread * Math.abs(standard[3]),
  ];
  const predict = (value: number): number => logistic(value, parameters);
  const fitted = x.map(predict);
  const correlation = plcc(fitted, y);
  if (correlation === null) return null;
  return { parameters, predict, plcc: correlation, rmse: Math.sqrt(squaredError(fitted, y) / y.length) };
}

function standardise(values: readonly number[]): { values: number[]; centre: number; spread: number } {
  const centre = mean(values)!;
  const spread = Math.sqrt(mean(values.map((value) => (value - centre) ** 2))!);
  return { values: values.map((value) => (value - centre) / spread), centre, spread };
}

function logistic(x: number, [b1, b2, b3, b4]: LogisticParameters): number {
  return (b1 - b2) / (1 + Math.exp(-(x - b3) / Math.abs(b4))) + b2;
}

function squaredError(fitted: readonly number[], y: readonly number[]): number {
  return fitted.reduce((sum, value, index) => sum + (y[index]! - value) ** 2, 0);
}

function minimise(x: readonly number[], y: readonly number[], start: LogisticParameters): LogisticParameters | null {
  const errorAt = (at: LogisticParameters): number =>
    squaredError(
      x.map((value) => logistic(value, at)),
      y,
    );
  let parameters = start;
  let error = errorAt(parameters);
  let damping = 1e-3;
  for (let iteration = 0; iteration < MOST_ITERATIONS; iteration++) {
    const { curvature, descent } = normalEquations(x, y, parameters);
    let accepted = false;
    while (!accepted) {
      if (damping > MOST_DAMPING) return parameters;
      const step = solve(curvature, descent, damping);
      const candidate = parameters.map((value, index) => value + step[index]!) as unknown as LogisticParameters;
      const candidateError = errorAt(candidate);
      accepted = candidateError < error;
      damping *= accepted ? 0.1 : 10;
      if (!accepted) continue;
      const settled = error - candidateError <= TOLERANCE * error;
      parameters = candidate;
      error = candidateError;
      if (settled || error === 0) return parameters;
    }
  }
  return null;
}

/** J'J and J'(y - f) of the curve's derivatives J by its parameters. */
function normalEquations(
  x: readonly number[],
  y: readonly number[],
  parameters: LogisticParameters,
): { curvature: number[][]; descent: number[] } {
  const [b1, b2, b3, b4] = parameters;
  const width = Math.abs(b4);
  const curvature = [0, 0, 0, 0].map(() => [0, 0, 0, 0]);
  const descent = [0, 0, 0, 0];
  x.forEach((value, index) => {
    const distance = (value - b3) / width;
    const share = 1 / (1 + Math.exp(-distance));
    const slope = ((b1 - b2) * share * (1 - share)) / width;
    const derivatives = [share, 1 - share, -slope, -slope * distance * Math.sign(b4)];
    const residual = y[index]! - logistic(value, parameters);
    derivatives.forEach((row, i) => {
      descent[i]! += row * residual;
      derivatives.forEach((column, j) => (curvature[i]![j]! += row * column));
    });
  });
  return { curvature, descent };
}

/** Solves (A + damping diag A) step = b by elimination; the damped matrix is positive definite, so no pivots are needed. */
function solve(matrix: readonly number[][], right: readonly number[], damping: number): number[] {
  const rows = matrix.map((row, i) => [
    ...row.map((value, j) => (i === j ? value * (1 + damping) + Number.MIN_VALUE : value)),
    right[i]!,
  ]);
  for (let pivot = 0; pivot < rows.length; pivot++) {
    for (let below = pivot + 1; below < rows.length; below++) {
      const factor = rows[below]![pivot]! / rows[pivot]![pivot]!;
      for (let column = pivot; column <= rows.length; column++) rows[below]![column]! -= factor * rows[pivot]![column]!;
    }
  }
  const step = rows.map(() => 0);
  for (let i = rows.length - 1; i >= 0; i--) {
    const known = step.reduce((sum, value, j) => sum + (j > i ? rows[i]![j]! * value : 0), 0);
    step[i] = (rows[i]![rows.length]! - known) / rows[i]![i]!;
  }
  return step;
}
