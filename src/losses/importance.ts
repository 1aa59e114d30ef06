/**
 * Off-policy correction: completions are drawn from one distribution (top-k, another engine, other kernels) and trained on
 * under another. The ratio of the two, bounded, multiplies each token's advantage.
 *
 * With d = training - sampling log-probability of a token, its ratio is exp(d), that of a completion exp(sum of d). Above
 * or below the bounds it is set to the bound (truncate: Yao et al., "Your efficient RL framework secretly brings you
 * off-policy RL training", 2025) or to 0 (mask: IcePop, Ling team, 2025; MIS, Liu et al., 2025).
 *
 * TRL `vllm_importance_sampling_correction`, `_mode`, `_clip_max` and `_clip_min`; verl `rollout_is`
 * (`token | sequence`) with `rollout_is_threshold` (truncate) and `rollout_rs` (mask).
 *
 * @module
 */

export type ImportanceMode = "token_truncate" | "token_mask" | "sequence_truncate" | "sequence_mask";

export interface ImportanceOptions {
  /** Default "sequence_mask", as in TRL. */
  readonly mode?: ImportanceMode;
  /** Largest ratio; null: no limit. Default 3. */
  readonly clipMax?: number | null;
  /** Smallest ratio; null: no limit. Default null. */
  readonly clipMin?: number | null;
}

export interface ImportanceCorrection {
  /** [N][T] what to multiply advantages by. */
  readonly factors: readonly Float64Array[];
  /** [N] at the level of sequences, else one per token: ratios once bounded. */
  readonly ratios: readonly number[];
  /** Share of the ratios that lay beyond a bound; null where there is none. */
  readonly limited: number | null;
}

/**
 * @param training [N][T] log-probabilities under the policy as it is trained
 * @param sampling [N][T] under the distribution that was drawn from
 * @throws RangeError for different shapes and for what is not a number
 */
export function importanceCorrection(
  training: readonly ArrayLike<number>[],
  sampling: readonly ArrayLike<number>[],
  options: ImportanceOptions = {},
): ImportanceCorrection {
  const { mode = "sequence_mask" } = options;
  const differences = logprobDifferences(training, sampling);
  const bySequence = mode.startsWith("sequence");
  const raw = bySequence
    ? differences.map((own) => Math.exp(own.reduce((sum, difference) => sum + difference, 0)))
    : differences.flatMap((own) => Array.from(own, Math.exp));
  const bound = bounder(options, mode.endsWith("mask"));
  const ratios = raw.map(bound);

  let at = 0;
  const factors = differences.map(({ length }, index) => {
    if (bySequence) return new Float64Array(length).fill(ratios[index]!);
    return Float64Array.from(ratios.slice(at, (at += length)));
  });
  const limited = raw.filter((ratio, index) => ratio !== ratios[index]).length;
  return { factors, ratios, limited: raw.length === 0 ? null : limited / raw.length };
}

/**
 * How far training and sampling are apart, per token.
 *
 * @returns [N][T] training - sampling
 * @throws RangeError for different shapes and for what is not a number
 */
export function logprobDifferences(
  training: readonly ArrayLike<number>[],
  sampling: readonly ArrayLike<number>[],
): Float64Array[] {
  if (training.length !== sampling.length) {
    throw new RangeError(`logprobDifferences: ${training.length} completions against ${sampling.length}.`);
  }
  return training.map((own, index) => {
    const drawn = sampling[index]!;
    if (own.length !== drawn.length) {
      throw new RangeError(`logprobDifferences: ${own.length} tokens of completion ${index} against ${drawn.length}.`);
    }
    const differences = Float64Array.from(own, (value, token) => value - drawn[token]!);
    if (differences.some(Number.isNaN)) {
      throw new RangeError(`logprobDifferences: a log-probability of completion ${index} is not a number.`);
    }
    return differences;
  });
}

function bounder({ clipMax = 3, clipMin = null }: ImportanceOptions, mask: boolean): (ratio: number) => number {
  const high = clipMax ?? Number.POSITIVE_INFINITY;
  const low = clipMin ?? 0;
  if (!(low >= 0) || !(high > low)) {
    throw new RangeError(`importanceCorrection: bounds from ${low} to ${high} leave nothing in between.`);
  }
  if (mask) return (ratio) => (ratio < low || ratio > high ? 0 : ratio);
  return (ratio) => Math.min(high, Math.max(low, ratio));
}
