/**
 * One step of supervised fine-tuning, station by station: examples, batch, update.
 *
 * The loss is the mean negative log-likelihood over all answer tokens of the update; what is asked has no part in it.
 *
 * @module
 */
import type { Row } from "../data/index.js";
import type { Policy } from "../policy/index.js";
import type { UpdateRecord } from "./grpo.js";
import { toNllBatch } from "./nll-batch.js";
import type { SftExample } from "./sft-examples.js";

/** What stays the same over all steps of a run. */
export interface SftObjective {
  readonly policy: Policy<Row>;
  /** Sort by length, so that passes filled by tokens hold little padding. */
  readonly packing: boolean;
  readonly schedule: (step: number) => number;
  readonly signal?: AbortSignal | undefined;
}

/** Called after the update, for events and timings. */
export interface SftObserver {
  onUpdate(update: UpdateRecord): Promise<void>;
}

/** @param examples of this step, encoded while the last one trained */
export async function sftStep(
  { policy, packing, schedule, signal }: SftObjective,
  examples: readonly SftExample[],
  observer: SftObserver,
): Promise<void> {
  const batch = toNllBatch(packing ? examples.toSorted(byLength) : examples);
  const step = policy.version + 1;
  const learningRate = schedule(step);
  const losses = await policy.forwardBackward(batch, { surrogate: "nll" }, { step, ...(signal && { signal }) });
  const update = await policy.optimStep({ step, learningRate });
  await observer.onUpdate({ step, learningRate, losses, update });
}

/** Prompt and answer each padded with their like: by the prompt first, which is the longer one. */
function byLength(a: SftExample, b: SftExample): number {
  return a.prompt.tokenIds.length - b.prompt.tokenIds.length || a.answers[0].length - b.answers[0].length;
}
