/**
 * Opinions that nobody had: draws around a mean, for sets that need single opinions or their spread.
 *
 * @module
 */
import { createRandomStream } from "./distortions/random-stream.js";
import type { LevelScore } from "./score-table.js";

export interface RaterOptions {
  /** At least 2. */
  readonly raters: number;
  /** Names the draws. */
  readonly key: bigint;
}

/**
 * Every rater's opinion is a normal draw around the mean, rounded to a whole number from 1 to 5, as KADID's raters gave them.
 * Means near the ends of the scale drift inwards by that, as they do with people.
 *
 * @returns mean and sample standard deviation of the opinions
 */
export function simulateRaters(
  { mean, raterStd }: Pick<LevelScore, "mean" | "raterStd">,
  { raters, key }: RaterOptions,
): { readonly mean: number; readonly deviation: number } {
  const random = createRandomStream(key);
  const opinions = Array.from({ length: raters }, () =>
    Math.min(5, Math.max(1, Math.round(mean + raterStd * random.normal()))),
  );
  const average = opinions.reduce((sum, opinion) => sum + opinion, 0) / raters;
  const squares = opinions.reduce((sum, opinion) => sum + (opinion - average) ** 2, 0);
  return { mean: average, deviation: Math.sqrt(squares / (raters - 1)) };
}
