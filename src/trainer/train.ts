/**
 * `train`: a whole GRPO run, from a configuration to a run folder and an exported checkpoint.
 *
 * @module
 */
import { createSchedule, isDue } from "../config/index.js";
import type { ConfigInput, ResolvedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import { RunError, ThurstoneError, WorkerError } from "../errors.js";
import type { Policy, Prompt } from "../policy/index.js";
import type { RewardRecord } from "../rewards/index.js";
import { latestCheckpoint } from "../runs/index.js";
import type { Callbacks } from "./callbacks.js";
import type { RunResult } from "./events.js";
import { grpoStep } from "./grpo.js";
import type { GrpoObjective } from "./grpo.js";
import { announce, evaluate, finish, save } from "./milestones.js";
import type { Run } from "./milestones.js";
import { openPolicy } from "./open-policy.js";
import type { OpenPolicyOptions } from "./open-policy.js";
import { lossOf, prepareRun } from "./prepare.js";
import type { PreparedRun } from "./prepare.js";
import { createRecorder } from "./recorder.js";
import { beginRun, inspectRunFolder } from "./run-folder.js";
import { startRun } from "./training-run.js";
import type { TrainingRun } from "./training-run.js";
import { advanceWarmup, rewardsInForce } from "./warm-up.js";

/** Options of `train`. */
export interface TrainOptions extends Pick<OpenPolicyOptions, "connect" | "onStderr"> {
  /** Rewards by name with their weights; replaces `reward_funcs` and `reward_weights`. */
  readonly rewards?: RewardRecord;
  readonly callbacks?: Callbacks;
  /** Aborting it ends the run at the next boundary; `result` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Trains a model with GRPO. The run starts at once and goes on whether or not its events are read.
 *
 * @param config keys as in a YAML file
 */
export function train(config: ConfigInput | ResolvedConfig, options: TrainOptions = {}): TrainingRun {
  const { signal } = options;
  return startRun(async (control) => {
    try {
      signal?.throwIfAborted();
      const prepared = await prepareRun(config, options.rewards);
      const start = await inspectRunFolder(prepared);
      await using policy = await openPolicy(prepared.config, {
        ...options,
        customRewards: prepared.rewards.map(({ name }) => name),
      });
      const { writer, state, mismatches } = await beginRun(prepared, start, policy);
      await using _closing = writer;
      const callbacks = options.callbacks ?? {};
      const { steps, epochs } = prepared.plan;
      const recorder = createRecorder({
        config: prepared.config,
        policy,
        writer,
        control,
        callbacks,
        state,
        steps,
        epochOf: (step) => (step / steps) * epochs,
      });
      const run = { prepared, policy, writer, state, control, recorder, callbacks, signal };
      announce(run, mismatches);
      return await recordingFailure(run, () => runLoop(run));
    } catch (error) {
      throw isCancellation(error, signal) ? signal?.reason : error;
    }
  });
}

async function runLoop(run: Run): Promise<RunResult> {
  const { prepared, policy, state, control, recorder, signal } = run;
  const { config, sampler, plan } = prepared;
  const objective = objectiveOf(prepared, policy, signal);
  const encode = (rollout: number): Promise<Prompt<Row>[]> => {
    const prompts = policy.encode(sampler.at(rollout), {
      step: rollout,
      onPicture: (picture) => recorder.onPicture(picture),
      ...(signal && { signal }),
    });
    // Encoded ahead of its step: a failure belongs to that step, not to the moment it happens.
    prompts.catch(() => undefined);
    return prompts;
  };

  // Before the first step of this process, only a checkpoint can have brought the run further than step 0.
  let savedAt = state.step > 0 ? state.step : null;
  if (state.evaluations.length === 0) await recorder.outside(() => evaluate(run));
  let pending = state.rollout < plan.rollouts ? encode(state.rollout + 1) : undefined;
  while (pending !== undefined && !control.stopRequested) {
    signal?.throwIfAborted();
    const rollout = state.rollout + 1;
    recorder.begin();
    const current = await pending;
    recorder.onPrompts();
    pending = rollout < plan.rollouts ? encode(rollout + 1) : undefined;
    const rewards = rewardsInForce(prepared, state.fidelityWarmup);
    const batch = await grpoStep({ ...objective, rewards }, rollout, current, recorder);
    state.rollout = rollout;
    advanceWarmup(run, batch);

    if (pending === undefined) break;
    const due = { step: state.step, updatesPerBatch: plan.updatesPerRollout };
    if (config.eval_steps !== null && isDue({ ...due, every: config.eval_steps })) {
      await recorder.outside(() => evaluate(run));
    }
    if (isDue({ ...due, every: config.save_steps })) {
      await recorder.outside(() => save(run));
      savedAt = state.step;
    }
  }
  return finish(run, savedAt);
}

/** What stays the same over the run. */
function objectiveOf(
  { config, plan }: PreparedRun,
  policy: Policy<Row>,
  signal: AbortSignal | undefined,
): Omit<GrpoObjective, "rewards"> {
  return {
    policy,
    samples: config.num_generations,
    scaleRewards: config.scale_rewards,
    normaliser: config.loss_type,
    maxCompletionLength: config.max_completion_length,
    loss: lossOf(config),
    updates: plan.updatesPerRollout / config.num_iterations,
    iterations: config.num_iterations,
    schedule: createSchedule({
      type: config.lr_scheduler_type,
      learningRate: config.learning_rate,
      warmupSteps: plan.warmupSteps,
      totalSteps: plan.steps,
    }),
    signal,
  };
}

/** The log of a run that failed says so in its last line; readers cannot see the error itself. */
async function recordingFailure<T>(run: Run, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { writer, state, signal } = run;
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

/** The worker's error, and what is left of the run. */
async function withAdvice(error: WorkerError, { prepared, writer }: Run): Promise<WorkerError> {
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
