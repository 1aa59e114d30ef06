/**
 * What stands between the rewards of a rollout batch and its loss, besides advantages: what the policy itself thinks of
 * the completions, and what follows from it for rewards, single tokens and whole completions. The formulas are in losses.
 *
 * @module
 */
import { entropyMask, importanceCorrection, klOfCompletions, logprobDifferences } from "../losses/index.js";
import type { ImportanceOptions, KlEstimator } from "../losses/index.js";
import { splitUpdates } from "../policy/index.js";
import type { Policy, RolloutGroup } from "../policy/index.js";
import { mean } from "../stats/index.js";
import { extreme } from "./metrics.js";
import { toTrainBatch } from "./train-batch.js";
import type { TrainBatchOptions } from "./train-batch.js";

/** What a run asks for. */
export interface Corrections {
  /** Ratio between training and sampling; null: the two are taken for the same. */
  readonly importance: ImportanceOptions | null;
  /** Share of tokens, those of the highest entropy, that advantages act on; 1: all. */
  readonly topEntropyQuantile: number;
  /** Leave completions that did not end by themselves out of the loss. */
  readonly maskTruncated: boolean;
  /** The KL term is paid for in the reward, and `beta` is its weight; null: it is not. */
  readonly klInReward: { readonly beta: number; readonly estimator: KlEstimator } | null;
}

/** Of every token of a rollout batch, before its first update. All [P][G][T]. */
export interface Measurement {
  /** The name under which the worker keeps the log-probabilities, where it does. */
  readonly id: string;
  readonly logprobs: readonly (readonly Float32Array[])[];
  /** null where nothing asks for them, as for `reference`. */
  readonly entropies: readonly (readonly Float32Array[])[] | null;
  readonly reference: readonly (readonly Float32Array[])[] | null;
}

/**
 * Log-probabilities of the whole rollout batch, and what else the corrections need. They are asked for update by update:
 * groups stay with the rank that has theirs, and every update is to be spread evenly over the ranks.
 *
 * @param options.updates that one pass over the batch is cut into
 * @param options.store keep the log-probabilities on the worker, for updates after the first
 * @returns null where neither the corrections nor the updates need any
 */
export async function measure(
  policy: Pick<Policy, "logprobs">,
  groups: readonly RolloutGroup[],
  options: {
    readonly corrections: Corrections;
    readonly updates: number;
    readonly store: boolean;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Measurement | null> {
  const { corrections, updates, store } = options;
  const { importance, topEntropyQuantile, klInReward } = corrections;
  const entropy = topEntropyQuantile < 1;
  if (!store && importance === null && !entropy && klInReward === null) return null;
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const nothing = groups.map(({ completions }) => completions.map(() => 0));
  const batch = toTrainBatch(groups, nothing);
  const logprobs: Float32Array[][] = [];
  const entropies: Float32Array[][] = [];
  const reference: Float32Array[][] = [];
  for (const part of splitUpdates(batch, updates)) {
    if (entropy) {
      const found = await policy.logprobs(part, { of: "policy", store, entropy, ...signal });
      logprobs.push(...found.logprobs);
      entropies.push(...found.entropies);
    } else logprobs.push(...(await policy.logprobs(part, { of: "policy", store, ...signal })));
    if (klInReward !== null) reference.push(...(await policy.logprobs(part, { of: "reference", ...signal })));
  }
  return {
    id: batch.id,
    logprobs,
    entropies: entropy ? entropies : null,
    reference: klInReward === null ? null : reference,
  };
}

/** What the corrections make of a rollout batch. */
export interface Corrected extends Pick<TrainBatchOptions, "id" | "factors" | "truncated"> {
  /** [P][G] rewards, less the KL where it is paid for in the reward. */
  readonly totals: readonly (readonly (number | null)[])[];
  /** [P][G] what was taken off them; null where nothing was. */
  readonly penalties: readonly (readonly number[])[] | null;
  /** Under TRL's names where TRL has them. */
  readonly metrics: Readonly<Record<string, number | null>>;
}

/**
 * @param totals [P][G] what the completions earned
 * @param measured null only where the corrections need no measurement
 */
export function correct(
  groups: readonly RolloutGroup[],
  totals: readonly (readonly (number | null)[])[],
  measured: Measurement | null,
  corrections: Corrections,
): Corrected {
  const truncated = groups.map(({ completions }) =>
    completions.map(({ finishReason }) => corrections.maskTruncated && finishReason !== "stop"),
  );
  const masks = corrections.maskTruncated ? { truncated } : {};
  if (measured === null) return { totals, penalties: null, ...masks, metrics: {} };
  const { factors, metrics } = tokenFactors(groups, truncated.flat(), measured, corrections);
  const penalised = penalise(totals, measured, corrections);
  return {
    id: measured.id,
    ...masks,
    ...(factors && { factors: regroup(groups, factors) }),
    totals: penalised.totals,
    penalties: penalised.penalties,
    metrics: { ...metrics, ...penalised.metrics },
  };
}

/** Tokens of completions that are left out count nowhere. */
function tokenFactors(
  groups: readonly RolloutGroup[],
  truncated: readonly boolean[],
  { logprobs, entropies }: Measurement,
  { importance, topEntropyQuantile }: Corrections,
): { readonly factors: Float64Array[] | null; readonly metrics: Corrected["metrics"] } {
  const kept = <T>(values: readonly T[]): T[] => values.filter((_, index) => truncated[index] !== true);
  const training = kept(logprobs.flat());
  const sampling = kept(groups.flatMap(({ completions }) => completions.map((one) => one.logprobs)));
  const ratio = importance && importanceCorrection(training, sampling, importance);
  const masked = topEntropyQuantile < 1 ? entropies : null;
  const mask = masked && entropyMask(kept(masked.flat()), topEntropyQuantile);

  let at = 0;
  const factors = groups
    .flatMap(({ completions }) => completions)
    .map(({ tokenIds: { length } }, index) => {
      if (truncated[index] === true) return new Float64Array(length);
      const [own, high] = [ratio?.factors[at], mask?.factors[at]];
      at += 1;
      return Float64Array.from({ length }, (_, token) => (own?.[token] ?? 1) * (high?.[token] ?? 1));
    });
  const gaps = logprobDifferences(training, sampling).flatMap((own) => Array.from(own, Math.abs));
  return {
    factors: ratio === null && mask === null ? null : factors,
    metrics: {
      "sampling/sampling_logp_difference/mean": mean(gaps),
      "sampling/sampling_logp_difference/max": extreme(gaps, Math.max),
      ...(ratio && {
        "sampling/importance_sampling_ratio/min": extreme(ratio.ratios, Math.min),
        "sampling/importance_sampling_ratio/mean": mean(ratio.ratios),
        "sampling/importance_sampling_ratio/max": extreme(ratio.ratios, Math.max),
        "sampling/importance_sampling_ratio/limited": ratio.limited,
      }),
      ...(mask && { "entropy_mask/threshold": mask.threshold, "entropy_mask/kept": mask.kept }),
    },
  };
}

function penalise(
  totals: Corrected["totals"],
  { logprobs, reference }: Measurement,
  { klInReward }: Corrections,
): Pick<Corrected, "totals" | "penalties" | "metrics"> {
  if (klInReward === null || reference === null) return { totals, penalties: null, metrics: {} };
  const { beta, estimator } = klInReward;
  const kl = logprobs.map((group, prompt) => klOfCompletions(group, reference[prompt]!, estimator));
  const penalties = kl.map((group) => group.map((one) => beta * one));
  return {
    totals: lessPenalties(totals, penalties),
    penalties,
    metrics: { "kl_in_reward/mean": mean(kl.flat()) },
  };
}

/** [P][G] rewards less what is taken off them; what has no reward has none left. */
export function lessPenalties(totals: Corrected["totals"], penalties: Corrected["penalties"]): (number | null)[][] {
  return totals.map((group, prompt) =>
    group.map((total, sample) => (total === null ? null : total - (penalties?.[prompt]![sample] ?? 0))),
  );
}

function regroup<T>(groups: readonly RolloutGroup[], values: readonly T[]): T[][] {
  let at = 0;
  return groups.map(({ completions }) => values.slice(at, (at += completions.length)));
}
