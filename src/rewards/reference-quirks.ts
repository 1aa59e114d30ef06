/**
 * The ways of the reference's reward code, one named flag each, and the switch that sets them all.
 *
 * Source: VisualQuality-R1 (arXiv 2505.14460), the code published with it. docs/parity.md tells what each of them does to
 * training.
 *
 * @module
 */

import type { FormatOptions } from "./format.js";
import type { ParseOptions } from "./parse.js";
import type { FidelityOptions } from "./ranking.js";
import type { UnreadableOptions } from "./unreadable.js";

/** One named flag for each way in which the reference's rewards differ; where one is alike, it is fixed. */
export const referenceQuirks = {
  /** The first number of the answer, or of the whole text where there is no closed answer; no range. */
  reading: "anywhere",
  /** A text without any number gets a random score, which then counts like every other. */
  unreadable: "random",
  /** Format is paid for tags in order, whatever is between them. */
  layout: "loose",
  /** Sample variances, no floor; 1e-6 on the sum of the two, so a group that agrees meets z-scores in the hundreds. */
  variance: "additive",
  varianceFloor: 0.5e-6,
  /** Inside both roots, so that a reward reaches 1.0010005. */
  rootEpsilon: 1e-6,
  /** Nothing asks whether two images belong to the same data set. */
  acrossDatasets: true,
  /** A group of one has no variance; the error is caught and p becomes 0.5. */
  undefinedVariance: "undecided",
  /** Ties are exact, preferences hard, and a score meets the other image's mean. */
  tieBand: 0,
  preference: "order",
  opponent: "mean",
} as const satisfies ParseOptions & FormatOptions & FidelityOptions & UnreadableOptions;

/** The options with all flags of `referenceQuirks` set where `referenceParity` asks for them, whatever else is given. */
export function withQuirks<Options extends { readonly referenceParity?: boolean }>(options: Options): Options {
  return options.referenceParity === true ? { ...options, ...referenceQuirks } : options;
}
