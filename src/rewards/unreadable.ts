/**
 * What stands for the score of a completion in which none could be read.
 *
 * @module
 */

import { foldKey, seedStreams, uniform } from "../stats/index.js";

export interface UnreadableOptions {
  /**
   * `failed`: no score; it earns 0 and is left out of mean and variance. `random`: one of 1, 2, 3, 4, 5, which counts like a
   * score that was read, as in the reference. Default "failed".
   */
  readonly unreadable?: "failed" | "random";
  /** Of the random scores. Default 0. */
  readonly seed?: number;
}

/** Which completion of a run it is. */
export interface UnreadablePlace {
  readonly step: number;
  readonly prompt: number;
  readonly sample: number;
}

/** @returns null, or the random score of this completion, the same each time it is asked for */
export function unreadableScore(options: UnreadableOptions, { step, prompt, sample }: UnreadablePlace): number | null {
  const { unreadable = "failed", seed = 0 } = options;
  if (unreadable === "failed") return null;
  return 1 + Math.floor(5 * uniform(foldKey(seed, seedStreams.unreadable, step, prompt, sample)));
}
