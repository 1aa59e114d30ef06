/**
 * One GRPO step, station by station: rows, prompts, completions, rewards, advantages, updates.
 *
 * Source: DeepSeekMath (arXiv 2402.03300), algorithm 1; with a ranking reward over the step: VisualQuality-R1
 * (arXiv 2505.14460).
 *
 * @module
 */
import type { AdvantageOptions } from "../advantages/index.js";
import type { Row } from "../data/index.js";
import type { Normaliser } from "../losses/index.js";
import type { LossSpec, LossSums, Policy, Prompt, RolloutGroup, UpdateResult } from "../policy/index.js";
import type { RewardSet } from "../rewards/index.js";
import type { Corrected, Corrections } from "./corrections.js";
import { rollOut } from "./rollout.js";
import type { KeptRollout, Rollout } from "./rollout.js";
import { valueRollout } from "./valuation.js";

/** What a step aims at; all but the rewards stays the same over a run. */
export interface GrpoObjective {
  readonly policy: Policy<Row>;
  readonly rewards: RewardSet;
  readonly samples: number;
  readonly advantages: AdvantageOptions;
  /** Times that groups which teach nothing are drawn again; 0 without dynamic sampling. */
  readonly tries: number;
  /** Leave out the groups that still teach nothing. */
  readonly dropZeroVariance: boolean;
  readonly normaliser: Normaliser;
  readonly maxCompletionLength: number;
  readonly loss: LossSpec;
  readonly corrections: Corrections;
  /** Updates one pass over the rollout batch is cut into, and passes over it. */
  readonly updates: number;
  readonly iterations: number;
  readonly schedule: (step: number) => number;
  readonly signal?: AbortSignal | undefined;
}

/** Called at the stations, for events and timings; returns nothing and changes nothing. */
export interface GrpoObserver {
  onProgress(progress: { readonly tokens: number; readonly finished: number }): void;
  /** Completions were drawn: of all prompts, or again of some. */
  onRollout(groups: readonly RolloutGroup<Row>[]): void;
  /** They were scored, and some may have to be drawn again. */
  onRewards(): void;
  /** The rollout batch is what it is going to be. */
  onScored(rollout: Rollout, kept: KeptRollout): void;
  onCorrected(metrics: Corrected["metrics"]): void;
  onValued(valued: ValuedRollout): void;
  onUpdate(update: UpdateRecord): Promise<void>;
}

/** What the completions of a rollout batch are worth. */
export interface ValuedRollout {
  /** Number of the rollout batch, 1-based. */
  readonly rollout: number;
  /** [P] those that are trained on; the others are worth nothing. */
  readonly groups: readonly RolloutGroup<Row>[];
  /** [P][G] */
  readonly advantages: readonly (readonly number[])[];
  /** [P][G] what the KL took off the rewards; null where it is not paid for in the reward. */
  readonly penalties: Corrected["penalties"];
}

/** What one optimizer update did. */
export interface UpdateRecord {
  /** Optimizer step, 1-based. */
  readonly step: number;
  readonly learningRate: number;
  readonly losses: LossSums;
  readonly update: UpdateResult;
}

/**
 * @param rollout number of the rollout batch, 1-based: part of every random draw
 * @param prompts rows of this step, encoded while the last step trained
 * @returns the completions and what they earned
 */
export async function grpoStep(
  objective: GrpoObjective,
  rollout: number,
  prompts: readonly Prompt<Row>[],
  observer: GrpoObserver,
): Promise<Rollout> {
  const { policy, signal } = objective;
  const rolled = await rollOut(objective, rollout, prompts, observer);
  const { kept, advantages, penalties, parts, loss } = await valueRollout(objective, rolled, observer);
  observer.onValued({ rollout, groups: kept.groups, advantages, penalties });

  for (let iteration = 0; iteration < objective.iterations; iteration += 1) {
    for (const part of parts) {
      const step = policy.version + 1;
      const learningRate = objective.schedule(step);
      const losses = await policy.forwardBackward(part, loss, { step, ...(signal && { signal }) });
      const update = await policy.optimStep({ step, learningRate });
      await observer.onUpdate({ step, learningRate, losses, update });
    }
  }
  return rolled;
}
