/**
 * Training on the tokens where the policy hesitates: those whose entropy is among the highest share of all tokens.
 *
 * Source: "Beyond the 80/20 Rule" (arXiv 2506.01939), which keeps 0.2. TRL `top_entropy_quantile`, with its threshold: the
 * quantile of all entropies at 1 - kept, in float32 and by linear interpolation, tokens at the threshold kept.
 *
 * @module
 */

export interface EntropyMask {
  /** [N][T] 1 for the tokens that are kept, 0 for the rest. */
  readonly factors: readonly Float64Array[];
  /** In nats; null where there are no tokens, -Infinity where all are to be kept. */
  readonly threshold: number | null;
  /** Share of tokens kept; null where there are none. At equal entropies it may be more than was asked for. */
  readonly kept: number | null;
}

/**
 * @param entropies [N][T] of the distribution each token was drawn from, in nats; float32, as workers send them
 * @param share of tokens to keep, 0 (only the highest) to 1 (all)
 * @throws RangeError for a share outside 0 to 1 and for what is not a number
 */
export function entropyMask(entropies: readonly ArrayLike<number>[], share: number): EntropyMask {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`entropyMask: the share is ${share}, expected 0 to 1.`);
  const sorted = Float32Array.from(entropies.flatMap((own) => Array.from(own))).sort();
  if (sorted.some(Number.isNaN)) throw new RangeError("entropyMask: an entropy is not a number.");
  if (sorted.length === 0) return { factors: entropies.map(() => new Float64Array(0)), threshold: null, kept: null };

  // In float64 the least entropy may lie below the threshold that float32 makes of it.
  const threshold = share === 1 ? Number.NEGATIVE_INFINITY : quantileAt(sorted, 1 - share);
  const factors = entropies.map((own) => Float64Array.from(own, (value) => (value >= threshold ? 1 : 0)));
  const kept = factors.reduce((total, own) => total + own.reduce((sum, factor) => sum + factor, 0), 0);
  return { factors, threshold, kept: kept / sorted.length };
}

/** As torch does it: a position that float32 rounds to a whole one is that one, whatever 1 - share left behind. */
function quantileAt(sorted: Float32Array, probability: number): number {
  const position = Math.fround(Math.fround(probability) * (sorted.length - 1));
  const below = sorted[Math.floor(position)]!;
  const above = sorted[Math.ceil(position)]!;
  return Math.fround(below + (above - below) * (position - Math.floor(position)));
}
