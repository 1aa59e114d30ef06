/**
 * Bootstrap intervals of correlations. What is drawn are groups (all versions of one photograph), because pictures of a
 * group are not independent and an interval over single pictures would be too narrow.
 *
 * Source: the percentile interval of Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13; drawing
 * whole groups: Davison and Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8.
 *
 * @module
 */
import { requireSameLength } from "./correlation.js";
import { quantile } from "./moments.js";
import { foldKey, mix64, uniform } from "./random.js";
import { resampledPlcc, resampledSrcc } from "./resampled.js";
import type { ResampledStatistic } from "./resampled.js";

export interface BootstrapOptions {
  /** What is correlated. Default "srcc". */
  readonly statistic?: "srcc" | "plcc";
  /** Group of each point; those of a group are drawn together. Default: every point is a group. */
  readonly groups?: readonly string[];
  /** Default 1000. */
  readonly resamples?: number;
  /** Probability with which such an interval covers. Default 0.95. */
  readonly level?: number;
  /** Names the draws: the same seed, groups and number of resamples give the same interval. */
  readonly seed: number | bigint;
}

export interface BootstrapInterval {
  readonly low: number;
  readonly high: number;
  /** Resamples that went into it: those in which the correlation is defined. */
  readonly resamples: number;
}

/** A difference of two correlations with the same labels. */
export interface BootstrapDifference extends BootstrapInterval {
  /** After minus before, of the points themselves. */
  readonly difference: number;
}

const RESAMPLES = 1000;
const LEVEL = 0.95;

/**
 * Interval of a correlation.
 *
 * @returns null where the correlation is not defined, in all of the points or in most resamples, or for fewer than two groups
 */
export function bootstrapInterval(
  x: readonly number[],
  y: readonly number[],
  options: BootstrapOptions,
): BootstrapInterval | null {
  requireSameLength(x, y);
  const statistic = statisticOf(x, y, options);
  return statistic(new Uint8Array(x.length).fill(1)) === null ? null : intervalOf(statistic, x.length, options);
}

/**
 * Interval of the difference of two correlations with the same labels, each resample being used for both: what differs
 * between the resamples of one alone cancels.
 *
 * @param before predictions
 * @param after predictions for the same points
 * @returns null as `bootstrapInterval`
 */
export function bootstrapDifference(
  before: readonly number[],
  after: readonly number[],
  labels: readonly number[],
  options: BootstrapOptions,
): BootstrapDifference | null {
  requireSameLength(before, labels);
  requireSameLength(after, labels);
  const [first, second] = [before, after].map((x) => statisticOf(x, labels, options)) as [
    ResampledStatistic,
    ResampledStatistic,
  ];
  const statistic: ResampledStatistic = (counts) => {
    const [earlier, later] = [first(counts), second(counts)];
    return earlier === null || later === null ? null : later - earlier;
  };
  const difference = statistic(new Uint8Array(labels.length).fill(1));
  if (difference === null) return null;
  const interval = intervalOf(statistic, labels.length, options);
  return interval && { difference, ...interval };
}

/**
 * One resample: as many groups as there are, drawn with replacement.
 *
 * @param groups group of each point, as numbers from 0
 * @param groupCount how many groups there are
 * @param key names the draw
 * @returns how often each point was drawn
 */
export function drawGroups(groups: ArrayLike<number>, groupCount: number, key: bigint): Uint32Array {
  const drawn = new Uint32Array(groupCount);
  for (let draw = 0; draw < groupCount; draw++) {
    const group = Math.floor(uniform(foldKey(key, draw)) * groupCount);
    drawn[group] = drawn[group]! + 1;
  }
  return Uint32Array.from(groups, (group) => drawn[group]!);
}

function statisticOf(x: readonly number[], y: readonly number[], { statistic = "srcc" }: BootstrapOptions) {
  return statistic === "srcc" ? resampledSrcc(x, y) : resampledPlcc(x, y);
}

function intervalOf(
  statistic: ResampledStatistic,
  points: number,
  { groups, resamples = RESAMPLES, level = LEVEL, seed }: BootstrapOptions,
): BootstrapInterval | null {
  if (!Number.isInteger(resamples) || resamples < 1) {
    throw new RangeError(`the number of resamples is ${resamples}; it must be an integer from 1`);
  }
  if (!(level > 0 && level < 1)) throw new RangeError(`the level is ${level}; it must lie between 0 and 1`);
  if (groups !== undefined) requireSameLength(groups, { length: points });
  const numberOf = new Map<string, number>();
  const numbers = Array.from({ length: points }, (_, point) => {
    const name = groups?.[point] ?? `point ${point}`;
    if (!numberOf.has(name)) numberOf.set(name, numberOf.size);
    return numberOf.get(name)!;
  });
  if (numberOf.size < 2) return null;

  // Mixed first: small seeds and small numbers would otherwise meet in the same keys.
  const key = mix64(BigInt(seed));
  const values: number[] = [];
  for (let resample = 0; resample < resamples; resample++) {
    const value = statistic(drawGroups(numbers, numberOf.size, foldKey(key, resample)));
    if (value !== null) values.push(value);
  }
  if (values.length <= resamples / 2) return null;
  const tail = (1 - level) / 2;
  return { low: quantile(values, tail)!, high: quantile(values, 1 - tail)!, resamples: values.length };
}
