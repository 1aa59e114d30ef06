/**
 * `fidelity_warmup` in a run: which rewards a rollout batch is scored with, what is recorded, and the moment it ends.
 *
 * @module
 */
import type { ResolvedConfig } from "../config/index.js";
import {
  advanceFidelityWarmup,
  createFidelityWarmup,
  withFidelityWarmup,
  type FidelityWarmup,
  type RewardSet,
  type WarmupBatch,
} from "../rewards/index.js";
import type { StepMetrics, TrainerEvent } from "./events.js";
import type { MetricValues } from "./metrics.js";
import type { Run } from "./milestones.js";
import { rewardOptions } from "./prepare.js";
import type { PreparedRun } from "./prepare.js";

/**
 * The rewards that count for the next rollout batch.
 *
 * @param warmup where the run stands. Default: at its beginning
 */
export function rewardsInForce(
  { config, rewards }: Pick<PreparedRun, "config" | "rewards">,
  warmup: FidelityWarmup | null = config.fidelity_warmup === null ? null : createFidelityWarmup(),
): RewardSet {
  return warmup === null ? rewards : withFidelityWarmup(rewards, warmup, rewardOptions(config));
}

/** Whether win_probability is paid in the place of fidelity. */
export function isWarmingUp(warmup: FidelityWarmup | null): boolean {
  return warmup !== null && warmup.endedAfter === null;
}

/** What is in force in a step, and the averages that decided it; nothing without `fidelity_warmup`. */
export function warmupMetrics(warmup: FidelityWarmup | null): MetricValues {
  if (warmup === null) return {};
  return {
    fidelity_warmup: isWarmingUp(warmup) ? 1 : 0,
    "fidelity_warmup/srcc": warmup.srcc,
    "fidelity_warmup/surplus": warmup.surplus,
  };
}

/** Takes a rollout batch into account once its updates are done, and tells when the warm-up is over. */
export function advanceWarmup(
  { state, writer, control }: Pick<Run<StepMetrics>, "state" | "writer" | "control">,
  batch: WarmupBatch,
  { fidelity_warmup_srcc: srcc }: Pick<ResolvedConfig, "fidelity_warmup_srcc">,
): void {
  if (state.fidelityWarmup === null || !isWarmingUp(state.fidelityWarmup)) return;
  state.fidelityWarmup = advanceFidelityWarmup(state.fidelityWarmup, batch, { srcc });
  if (isWarmingUp(state.fidelityWarmup)) return;
  const event = endOf(state.fidelityWarmup, state.step);
  writer.event(event);
  control.emit(event);
}

function endOf(warmup: FidelityWarmup, step: number): Extract<TrainerEvent, { readonly type: "fidelity-warmup-end" }> {
  const srcc = warmup.srcc!;
  const surplus = warmup.surplus!;
  const message = `the warm-up is over: in the last rollout batches the scores follow the opinion scores with a correlation of ${srcc.toFixed(2)}, and fidelity pays ${surplus.toFixed(3)} more than a constant answer would earn. From the next rollout batch on fidelity is paid, no longer win_probability.`;
  return { type: "fidelity-warmup-end", step, srcc, surplus, message };
}
