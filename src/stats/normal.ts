/**
 * The complementary error function and the normal distribution, accurate to a few units in the last place everywhere,
 * tails included.
 *
 * Source: F. Matta and A. Reichel, "Uniform computation of the error function and other related functions",
 * Mathematics of Computation 25 (1971): the trapezoidal rule on an integral of erfc, whose error is the residue of one
 * pole, which is known and subtracted. Near 0 the Taylor series of erf.
 *
 * @module
 */

/** Width of the trapezoids. What the rule leaves out is of the order exp(-(pi / STEP)^2) = 7e-18. */
const STEP = 0.5;

/** (n STEP)^2 for n = 1, 2, ... and exp of minus that; the thirteenth weight is 4e-19. */
const SQUARES = Float64Array.from({ length: 13 }, (_, index) => ((index + 1) * STEP) ** 2);
const WEIGHTS = SQUARES.map((square) => Math.exp(-square));

/** Below this the series is used, above it the trapezoids. */
const SERIES_LIMIT = 0.5;

/** Beyond this erfc and the normal tail are smaller than any double. */
const UNDERFLOW = 28;

/** erf(x) for |x| <= SERIES_LIMIT. */
function erfSeries(x: number): number {
  let power = x;
  let sum = x;
  for (let n = 1; n < 20; n++) {
    power *= -(x * x) / n;
    sum += power / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** exp(x^2) erfc(x) for SERIES_LIMIT <= x <= UNDERFLOW: changes slowly, so a rounded x does no harm. */
function scaledErfc(x: number): number {
  const square = x * x;
  let integral = 1 / (2 * square);
  for (let n = 0; n < SQUARES.length; n++) integral += WEIGHTS[n]! / (SQUARES[n]! + square);
  const pole = x < Math.PI / STEP ? (2 * Math.exp(square)) / (1 - Math.exp((2 * Math.PI * x) / STEP)) : 0;
  return ((2 * STEP * x) / Math.PI) * integral + pole;
}

/** exp(-scale x^2), with the square of the leading bits exact: rounding x^2 would cost up to 700 units in the tail. */
function gaussian(x: number, scale: number): number {
  const leading = Math.fround(x);
  return Math.exp(-scale * leading * leading) * Math.exp(-scale * (x - leading) * (x + leading));
}

/**
 * @param x any number
 * @returns 2 / sqrt(pi) times the integral of exp(-t^2) from x to infinity, in [0, 2]
 */
export function erfc(x: number): number {
  if (Math.abs(x) <= SERIES_LIMIT) return 1 - erfSeries(x);
  if (x < 0) return 2 - erfc(-x);
  return x > UNDERFLOW ? 0 : scaledErfc(x) * gaussian(x, 1);
}

/**
 * @param x any number, infinite ones included
 * @returns the probability that a standard normal variable is below x
 */
export function normalCdf(x: number): number {
  const scaled = -x / Math.SQRT2;
  if (Math.abs(scaled) <= SERIES_LIMIT) return 0.5 - 0.5 * erfSeries(scaled);
  if (scaled < 0) return 1 - normalCdf(-x);
  return scaled > UNDERFLOW ? 0 : 0.5 * scaledErfc(scaled) * gaussian(x, 0.5);
}
