/**
 * Why a figure of an evaluation is not defined: no null without its reason.
 *
 * @module
 */

/** By name of a figure that is null: why. */
export type Reasons = Readonly<Record<string, string>>;

/** Collects the reasons of figures that are null. */
export interface ReasonCollector {
  readonly reasons: Reasons;
  /** @returns the value; where it is null, the reason is kept under the name */
  or<T>(name: string, value: T | null, reason: string): T | null;
}

export function collectReasons(): ReasonCollector {
  const reasons: Record<string, string> = {};
  return {
    reasons,
    or(name, value, reason) {
      if (value === null) reasons[name] = reason;
      return value;
    },
  };
}

/** Points that a correlation takes, and a fit. */
const CORRELATION_POINTS = 3;
const FIT_POINTS = 5;

/** Why scores and labels have no correlation. */
export function whyNoCorrelation(scores: readonly number[], labels: readonly number[]): string {
  return tooFew(scores, CORRELATION_POINTS) ?? constant(scores, labels) ?? "a prediction or a label is not finite";
}

/** Why their correlation has no interval. */
export function whyNoInterval(
  scores: readonly number[],
  labels: readonly number[],
  groups: readonly string[],
  correlation: number | null,
): string {
  if (correlation === null) return whyNoCorrelation(scores, labels);
  const count = new Set(groups).size;
  if (count < 2) return `all pictures are of one group, and it takes two groups to draw from`;
  return `most resamples of the ${count} groups have no correlation`;
}

/** Why no logistic was fitted to them. */
export function whyNoFit(scores: readonly number[], labels: readonly number[]): string {
  return tooFew(scores, FIT_POINTS) ?? constant(scores, labels) ?? "the search for the logistic did not settle";
}

/** Why no share of pairs is in the labels' order. */
export function whyNoPairs(labels: readonly number[]): string {
  return tooFew(labels, 2) ?? (isConstant(labels) ? `all labels are ${labels[0]!}` : "a prediction is not finite");
}

function tooFew({ length }: readonly number[], least: number): string | null {
  if (length >= least) return null;
  const pictures = length === 1 ? "only 1 picture has" : `only ${length} pictures have`;
  return `${pictures} a score and a label, and it takes ${least}`;
}

function constant(scores: readonly number[], labels: readonly number[]): string | null {
  if (isConstant(scores)) return `all predictions are ${scores[0]!}`;
  return isConstant(labels) ? `all labels are ${labels[0]!}` : null;
}

function isConstant(values: readonly number[]): boolean {
  return values.every((value) => value === values[0]);
}
