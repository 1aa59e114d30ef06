/**
 * The course of every run, from what was prepared to the exported model: open, begin or resume, step by step, finish. What
 * a step is made of comes with the recipe.
 *
 * @module
 */
import { resolve } from "node:path";
import { isDue } from "../config/index.js";
import type { Row } from "../data/index.js";
import { RunError, ThurstoneError, WorkerError } from "../errors.js";
import type { Policy } from "../policy/index.js";
import { latestCheckpoint } from "../runs/index.js";
import type { Callbacks } from "./callbacks.js";
import type { RunResult, StepValues } from "./events.js";
import { announce, evaluate, finish } from "./milestones.js";
import type { Recipe, Run } from "./milestones.js";
import type { OpenPolicyOptions } from "./open-policy.js";
import type { RunBasis } from "./prepare.js";
import { beginRun, inspectRunFolder } from "./run-folder.js";
import type { RunStart } from "./run-folder.js";
import { save, settleSave } from "./saving.js";
import { startRun } from "./training-run.js";
import type { RunControl, TrainingRun } from "./training-run.js";

/** What the caller of a run may add to its configuration. */
export interface RunOptions<Metrics extends StepValues> extends Pick<
  OpenPolicyOptions,
  "connect" | "onStderr" | "onNews"
> {
  readonly callbacks?: Callbacks<Metrics>;
  /** Aborting it ends the run at the next boundary; `result` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** The parts in which kinds of runs differ. */
export interface RunKind<Metrics extends StepValues, Prepared extends RunBasis, Encoded> {
  /** All that can be refused before a model is loaded. */
  readonly prepare: () => Promise<Prepared>;
  /** @param signal gives up waiting for workers and loading */
  readonly open: (prepared: Prepared, signal?: AbortSignal) => Promise<Policy<Row>>;
  readonly recipe: (run: Run<Metrics>, prepared: Prepared) => Recipe<Metrics, Encoded>;
  /** Ends what the preparation began, however the run ends. */
  readonly release?: (prepared: Prepared) => Promise<void>;
}

/** Starts a run at once; it goes on whether or not its events are read. */
export function startTraining<Metrics extends StepValues, Prepared extends RunBasis, Encoded>(
  kind: RunKind<Metrics, Prepared, Encoded>,
  { callbacks = {}, signal }: RunOptions<Metrics>,
): TrainingRun<Metrics> {
  return startRun<Metrics>(async (control) => {
    try {
      signal?.throwIfAborted();
      const prepared = await kind.prepare();
      await using _released = { [Symbol.asyncDispose]: async () => kind.release?.(prepared) };
      const start = await inspectRunFolder(prepared);
      await using policy = await unlessStopped((asked) => kind.open(prepared, asked), control, signal);
      if (policy === null) return notBegun(prepared, start, control);
      const { writer, state, mismatches } = await beginRun(prepared, start, policy);
      await using _closing = writer;
      const saving = { current: null };
      const run: Run<Metrics> = { prepared, policy, writer, state, saving, control, callbacks, signal };
      const signals = signal === undefined ? [control.givenUp] : [control.givenUp, signal];
      const recipe = kind.recipe({ ...run, signal: AbortSignal.any(signals) }, prepared);
      announce(run, mismatches);
      return await recordingFailure(run, () => runLoop(run, recipe));
    } catch (error) {
      throw isCancellation(error, signal) ? signal?.reason : error;
    }
  });
}

/** @returns null when the run was asked to stop meanwhile: there is nothing to finish, and nothing to save. */
async function unlessStopped<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { stopping }: Pick<RunControl, "stopping">,
  signal: AbortSignal | undefined,
): Promise<T | null> {
  try {
    stopping.throwIfAborted();
    return await work(signal === undefined ? stopping : AbortSignal.any([stopping, signal]));
  } catch (error) {
    if (isCancellation(error, signal) || !isCancellation(error, stopping)) throw error;
    return null;
  }
}

/** What comes of a run that was stopped before its model was loaded: its folder is as it was. */
function notBegun<Metrics extends StepValues>(
  { config, plan }: RunBasis,
  { resume }: RunStart,
  control: RunControl<Metrics>,
): RunResult<Metrics> {
  const step = resume?.state.step ?? 0;
  control.emit({ type: "run-end", step, reason: "stopped", model: null, modelStep: null });
  return {
    folder: resolve(config.output_dir),
    step,
    steps: plan.steps,
    reason: "stopped",
    model: null,
    modelStep: null,
    metrics: null,
    evaluations: resume?.state.evaluations ?? [],
    secondsPerStep: 0,
    controlSecondsPerStep: 0,
    peakMemory: { node: process.resourceUsage().maxRSS * 1024, worker: 0 },
  };
}

async function runLoop<Metrics extends StepValues, Encoded>(
  run: Run<Metrics>,
  recipe: Recipe<Metrics, Encoded>,
): Promise<RunResult<Metrics>> {
  const { prepared, state, control, signal } = run;
  const { config, plan } = prepared;
  const { recorder } = recipe;
  const encode = (rollout: number): Promise<Encoded> => {
    const encoded = recipe.encode(rollout);
    // Encoded ahead of its step: a failure belongs to that step, not to the moment it happens.
    encoded.catch(() => undefined);
    return encoded;
  };

  // Before the first step of this process, only a checkpoint can have brought the run further than step 0.
  let savedAt = state.step > 0 ? state.step : null;
  const isNow = (every: number): boolean => isDue({ step: state.step, updatesPerBatch: plan.updatesPerRollout, every });
  const evaluateNow = (): Promise<void> => recorder.outside(() => evaluate(run, recipe));
  // One that was given up is made up for when the run goes on.
  const missing = state.evaluations.at(-1)?.step !== state.step;
  const isFirst = state.evaluations.length === 0;
  try {
    if (isFirst || (missing && config.eval_steps !== null && isNow(config.eval_steps))) await evaluateNow();
    let pending = state.rollout < plan.rollouts ? encode(state.rollout + 1) : undefined;
    while (pending !== undefined && !control.stopping.aborted) {
      signal?.throwIfAborted();
      await recorder.outside(() => settleSave(run, { wait: false }));
      const rollout = state.rollout + 1;
      recorder.begin();
      const current = await pending;
      recorder.onPrompts();
      pending = rollout < plan.rollouts ? encode(rollout + 1) : undefined;
      await recipe.step(rollout, current);
      state.rollout = rollout;

      if (pending === undefined) break;
      if (config.eval_steps !== null && isNow(config.eval_steps)) await evaluateNow();
      if (isNow(config.save_steps)) {
        await recorder.outside(() => save(run));
        savedAt = state.step;
      }
    }
    return await finish(run, recipe, savedAt);
  } catch (error) {
    // A rollout batch of which some updates were applied is no place to go on from.
    const whole = state.step === state.rollout * plan.updatesPerRollout;
    if (!isCancellation(error, control.givenUp) || !whole) throw error;
    return finish(run, recipe, savedAt);
  }
}

/** The log of a run that failed says so in its last line; readers cannot see the error itself. */
async function recordingFailure<T, Metrics extends StepValues>(run: Run<Metrics>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { writer, state, signal } = run;
    await endSave(run, error);
    // What cannot write a checkpoint cannot write this line either.
    if (!(error instanceof RunError)) {
      const reason = isCancellation(error, signal) ? "aborted" : "failed";
      const code = ThurstoneError.isInstance(error) ? error.code : null;
      const message = error instanceof Error ? error.message : String(error);
      writer.event({ type: "run-end", step: state.step, reason, code, message });
    }
    throw error instanceof WorkerError ? await withAdvice(error, run) : error;
  }
}

/**
 * Of a run that failed: what is being written is still a checkpoint of it, unless the run is to end now.
 *
 * @param failure of the run; that of the checkpoint becomes its cause where it has none
 */
async function endSave<Metrics extends StepValues>(run: Run<Metrics>, failure: unknown): Promise<void> {
  if (run.saving.current === null) return;
  try {
    if (isCancellation(failure, run.signal)) await run.policy.close();
    await settleSave(run);
  } catch (error) {
    // A worker that died answers both with one and the same error.
    if (failure instanceof Error && failure.cause === undefined && failure !== error) failure.cause = error;
  }
}

/** The worker's error, and what is left of the run. */
async function withAdvice<Metrics extends StepValues>(
  error: WorkerError,
  { prepared, writer }: Run<Metrics>,
): Promise<WorkerError> {
  const last = prepared.config.save_only_model ? undefined : await latestCheckpoint(writer.folder);
  const advice =
    last === undefined
      ? "No checkpoint to go on from was taken."
      : `The run can be resumed from step ${last.step} (resume_from_checkpoint).`;
  return new WorkerError(error.code, `${error.message.trimEnd()}\n${advice}`, { cause: error, fields: error.fields });
}

/** Whether an error is only the way in which an aborted signal came back. */
function isCancellation(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted !== true) return false;
  return (
    error === signal.reason ||
    (ThurstoneError.isInstance(error) && ["BRIDGE_CANCELLED", "CANCELLED"].includes(error.code))
  );
}
