/**
 * The metrics of a step, under TRL's names where TRL has them, so that runs can be compared.
 *
 * Everything here is a pure function of the step's data: two runs with the same seed give the same numbers.
 *
 * @module
 */
import type { ResolvedConfig } from "../config/index.js";
import type { RolloutGroup } from "../policy/index.js";
import { batchSrcc, parseScore, ratedGroupsOf } from "../rewards/index.js";
import type { ScoredRewards } from "../rewards/index.js";
import { mean, standardDeviation } from "../stats/index.js";
import type { SftMetrics } from "./events.js";
import type { UpdateRecord } from "./grpo.js";
import type { KeptRollout, Rollout } from "./rollout.js";

/** Values by name; null where a value does not exist. */
export type MetricValues = Record<string, number | null>;

const present = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);

/** Largest and smallest without spreading an array of any length onto the stack. */
export function extreme(values: readonly number[], pick: (a: number, b: number) => number): number | null {
  return values.length === 0 ? null : values.reduce((a, b) => pick(a, b));
}

/** Metrics of the completions: lengths, finish reasons, answers that could be read. */
export function completionMetrics(groups: readonly RolloutGroup[], referenceParity = false): MetricValues {
  const completions = groups.flatMap((group) => group.completions);
  const lengths = completions.map((completion) => completion.tokenIds.length);
  const ended = completions.filter((completion) => completion.finishReason === "stop");
  const parsed = groups.map((group) => group.completions.map(({ text }) => parseScore(text, { referenceParity })));
  const statuses = parsed.flat().map(({ status }) => status);
  const share = (status: string): number => statuses.filter((one) => one === status).length / statuses.length;
  const predictions = present(parsed.map((group) => mean(present(group.map(({ score }) => score)))));
  return {
    "completions/mean_length": mean(lengths),
    "completions/min_length": extreme(lengths, Math.min),
    "completions/max_length": extreme(lengths, Math.max),
    "completions/mean_terminated_length": mean(ended.map((completion) => completion.tokenIds.length)),
    "completions/clipped_ratio": completions.filter((one) => one.finishReason === "length").length / completions.length,
    "parse/failed_ratio": share("failed"),
    "parse/clamped_ratio": share("clamped"),
    prediction_spread: standardDeviation(predictions),
    constant_answer_ratio: constantAnswerRatio(parsed.map((group) => present(group.map(({ score }) => score)))),
    batch_srcc: batchSrcc(ratedGroupsOf(groups, { referenceParity })),
  };
}

/** Share of the score that was given most often, among the scores that could be read; null for fewer than two pictures with one. */
function constantAnswerRatio(scores: readonly (readonly number[])[]): number | null {
  const flat = scores.flat();
  if (scores.filter((group) => group.length > 0).length < 2) return null;
  const counts = new Map<number, number>();
  for (const score of flat) counts.set(score, (counts.get(score) ?? 0) + 1);
  return extreme([...counts.values()], Math.max)! / flat.length;
}

/** Metrics of the rewards: totals, and each reward before weighting. */
export function rewardMetrics(
  scored: ScoredRewards,
): MetricValues & { reward: number | null; reward_std: number | null } {
  const totals = scored.totals.map(present);
  const deviations = totals.map((group) => standardDeviation(group));
  const values: MetricValues = {};
  for (const [name, rewards] of Object.entries(scored.breakdown)) {
    const known = present(rewards.flat());
    values[`rewards/${name}/mean`] = mean(known);
    values[`rewards/${name}/std`] = standardDeviation(known);
    values[`rewards/${name}/missing`] = rewards.flat().length - known.length;
  }
  const flat = totals.filter((group) => group.every((total) => total === group[0])).length;
  return {
    ...values,
    reward: mean(totals.flat()),
    reward_std: mean(present(deviations)),
    frac_reward_zero_std: totals.length === 0 ? null : flat / totals.length,
  };
}

/** What became of a rollout batch before its updates; each metric only where the option it is about is on. */
export function rolloutMetrics(
  rolled: Pick<Rollout, "groups" | "flat" | "tries" | "redrawn" | "refilled">,
  kept: Pick<KeptRollout, "groups">,
  options: Pick<ResolvedConfig, "dynamic_sampling" | "drop_zero_variance_groups">,
): MetricValues {
  return {
    ...(options.dynamic_sampling && {
      "dynamic_sampling/tries": rolled.tries,
      "dynamic_sampling/redrawn": rolled.redrawn,
      "dynamic_sampling/refilled": rolled.refilled,
      "dynamic_sampling/flat": rolled.flat.length,
    }),
    ...(options.drop_zero_variance_groups && {
      "zero_variance_groups/dropped": rolled.groups.length - kept.groups.length,
    }),
  };
}

/** Metrics of one update. */
export function updateMetrics(record: UpdateRecord, withReference: boolean): MetricValues {
  const { losses } = record;
  return {
    loss: finite(losses.loss),
    policy_loss: finite(losses.policyLoss),
    kl: withReference ? perToken(record, losses.kl) : null,
    entropy: perToken(record, losses.entropy),
    "clip_ratio/low_mean": perToken(record, losses.clippedLow),
    "clip_ratio/high_mean": perToken(record, losses.clippedHigh),
    "clip_ratio/region_mean": perToken(record, losses.clippedLow + losses.clippedHigh),
    ...optimiserMetrics(record),
  };
}

/** Metrics of one update on given answers. */
export function nllMetrics(record: UpdateRecord): SftMetrics {
  const { losses } = record;
  return { loss: losses.loss, entropy: perToken(record, losses.entropy), ...optimiserMetrics(record) };
}

function perToken({ losses }: UpdateRecord, sum: number): number | null {
  return losses.tokens === 0 ? null : finite(sum / losses.tokens);
}

function optimiserMetrics({ learningRate, losses, update }: UpdateRecord) {
  return {
    grad_norm: finite(update.gradNorm),
    learning_rate: learningRate,
    num_tokens: losses.tokens,
    // Only where it happened, so that the lines that have it are the ones to count.
    ...(update.skipped && { update_skipped: 1 }),
  };
}

/** What an overflow made of a number is not known. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
