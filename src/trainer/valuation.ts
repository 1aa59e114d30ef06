/**
 * The middle of a step: from scored completions to what its updates take. A dry step goes the same way.
 *
 * @module
 */
import { advantagesOf } from "../advantages/index.js";
import { splitUpdates } from "../policy/index.js";
import type { LossSpec, TrainBatch } from "../policy/index.js";
import { correct, measure } from "./corrections.js";
import type { Corrected } from "./corrections.js";
import type { GrpoObjective, GrpoObserver } from "./grpo.js";
import { keptOf } from "./rollout.js";
import type { KeptRollout, Rollout } from "./rollout.js";
import { toTrainBatch } from "./train-batch.js";

/** What a rollout batch is worth, and what its updates take. */
export interface Valuation {
  readonly kept: KeptRollout;
  /** [P][G] of the groups that were kept. */
  readonly advantages: readonly (readonly number[])[];
  readonly penalties: Corrected["penalties"];
  readonly metrics: Corrected["metrics"];
  /** One for each update of a pass over the batch; weights are normalised over each. */
  readonly parts: readonly TrainBatch[];
  readonly loss: LossSpec;
}

/** Log-probabilities that a later update takes its ratios against are kept on the worker. */
export async function valueRollout(
  objective: Omit<GrpoObjective, "rewards">,
  rolled: Rollout,
  observer: Pick<GrpoObserver, "onScored" | "onCorrected">,
): Promise<Valuation> {
  const { policy, corrections, updates, iterations, signal } = objective;
  const kept = keptOf(rolled, objective);
  observer.onScored(rolled, kept);

  const reused = updates * iterations > 1;
  const measured = await measure(policy, kept.groups, { corrections, updates, store: reused, signal });
  const corrected = correct(kept.groups, kept.earned.totals, measured, corrections);
  observer.onCorrected(corrected.metrics);

  const advantages = advantagesOf({ ...kept.earned, totals: corrected.totals }, objective.advantages);
  const batch = toTrainBatch(kept.groups, advantages, { ...objective, ...corrected });
  return {
    kept,
    advantages,
    penalties: corrected.penalties,
    metrics: corrected.metrics,
    parts: splitUpdates(batch, updates),
    loss: { ...objective.loss, old: reused ? "stored" : "detach" },
  };
}
