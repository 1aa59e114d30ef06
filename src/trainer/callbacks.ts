/**
 * User callbacks of a training run: what they receive, and how their failures are attributed.
 *
 * @module
 */
import { CallbackError } from "../errors.js";
import type { HeldOutEvaluation, StepMetrics, StepValues, TrainerEvent } from "./events.js";

/** What `onStep` receives, after every optimizer step: what the event says, and the run folder. */
export interface StepContext<Metrics extends StepValues = StepMetrics> extends Omit<
  Extract<TrainerEvent<Metrics>, { readonly type: "step-end" }>,
  "type"
> {
  /** The run folder. */
  readonly folder: string;
}

/** What `onSave` receives, after every checkpoint. */
export interface SaveContext {
  readonly step: number;
  /** Folder of the finished checkpoint. */
  readonly checkpoint: string;
  readonly folder: string;
}

/** What `onEvaluate` receives, after every evaluation. */
export interface EvaluateContext extends HeldOutEvaluation {
  readonly folder: string;
}

/** Awaited in order; an error ends the run as CallbackError, after what was already done has been recorded. */
export interface Callbacks<Metrics extends StepValues = StepMetrics> {
  readonly onStep?: (context: StepContext<Metrics>) => void | Promise<void>;
  readonly onSave?: (context: SaveContext) => void | Promise<void>;
  readonly onEvaluate?: (context: EvaluateContext) => void | Promise<void>;
}

/** Calls one callback. @throws CallbackError CALLBACK_FAILED naming the callback and the step */
export async function callBack<Metrics extends StepValues, K extends keyof Callbacks<Metrics>>(
  callbacks: Callbacks<Metrics>,
  name: K,
  context: Parameters<NonNullable<Callbacks<Metrics>[K]>>[0],
): Promise<void> {
  const callback = callbacks[name] as ((context: unknown) => void | Promise<void>) | undefined;
  if (callback === undefined) return;
  try {
    await callback(context);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CallbackError("CALLBACK_FAILED", `the callback ${name} failed at step ${context.step}: ${reason}`, {
      cause,
      fields: { callback: name, step: context.step },
    });
  }
}
