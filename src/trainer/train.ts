/**
 * `train`: a whole GRPO run, from a configuration to a run folder and an exported checkpoint.
 *
 * @module
 */
import { join } from "node:path";
import { createSchedule, isDue } from "../config/index.js";
import type { ConfigInput, ResolvedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import type { Policy, Prompt } from "../policy/index.js";
import type { RewardRecord } from "../rewards/index.js";
import { pruneCheckpoints } from "../runs/index.js";
import type { RunWriter } from "../runs/index.js";
import { callBack } from "./callbacks.js";
import type { Callbacks } from "./callbacks.js";
import { saveCheckpoint } from "./checkpoint.js";
import type { TrainerState } from "./checkpoint.js";
import { evaluateRows } from "./evaluate.js";
import type { PlanSummary, RunResult } from "./events.js";
import { grpoStep } from "./grpo.js";
import type { GrpoObjective } from "./grpo.js";
import { openPolicy } from "./open-policy.js";
import type { OpenPolicyOptions } from "./open-policy.js";
import { prepareRun } from "./prepare.js";
import type { PreparedRun } from "./prepare.js";
import { createRecorder } from "./recorder.js";
import type { Recorder } from "./recorder.js";
import { beginRun, exportModel } from "./run-folder.js";
import { startRun } from "./training-run.js";
import type { RunControl, TrainingRun } from "./training-run.js";

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
  return startRun(async (control) => {
    options.signal?.throwIfAborted();
    const prepared = await prepareRun(config, options.rewards);
    await using policy = await openPolicy(prepared.config, {
      ...options,
      customRewards: prepared.rewards.map(({ name }) => name),
    });
    const { writer, state, mismatches } = await beginRun(prepared, policy);
    await using _closing = writer;
    return await runLoop({ prepared, policy, writer, state, mismatches, control, options });
  });
}

interface Loop {
  readonly prepared: PreparedRun;
  readonly policy: Policy<Row>;
  readonly writer: RunWriter;
  readonly state: TrainerState;
  readonly mismatches: readonly string[];
  readonly control: RunControl;
  readonly options: TrainOptions;
}

async function runLoop(loop: Loop): Promise<RunResult> {
  const { prepared, policy, writer, state, control, options } = loop;
  const { config, sampler, plan } = prepared;
  const { signal } = options;
  const recorder = createRecorder({
    config,
    policy,
    writer,
    control,
    callbacks: options.callbacks ?? {},
    state,
    steps: plan.steps,
    epochOf: (step) => (step / plan.steps) * plan.epochs,
  });
  announce(loop, planSummary(prepared));
  if (state.evaluations.length === 0) await evaluate(loop);

  const objective = objectiveOf(prepared, policy, signal);
  const encode = (rollout: number): Promise<Prompt<Row>[]> => {
    const prompts = policy.encode(sampler.at(rollout), { step: rollout, ...(signal && { signal }) });
    // Encoded ahead of its step: a failure belongs to that step, not to the moment it happens.
    prompts.catch(() => undefined);
    return prompts;
  };

  let pending = state.rollout < plan.rollouts ? encode(state.rollout + 1) : undefined;
  while (pending !== undefined && !control.stopRequested) {
    signal?.throwIfAborted();
    const rollout = state.rollout + 1;
    recorder.begin();
    const current = await pending;
    pending = rollout < plan.rollouts ? encode(rollout + 1) : undefined;
    await grpoStep(objective, rollout, current, recorder);
    state.rollout = rollout;

    const due = { step: state.step, updatesPerBatch: plan.updatesPerRollout };
    if (config.eval_steps !== null && pending !== undefined && isDue({ ...due, every: config.eval_steps })) {
      await evaluate(loop);
    }
    if (pending !== undefined && !control.stopRequested && isDue({ ...due, every: config.save_steps }))
      await save(loop);
  }
  return finish(loop, recorder);
}

function objectiveOf(prepared: PreparedRun, policy: Policy<Row>, signal: AbortSignal | undefined): GrpoObjective {
  const { config, plan, rewards } = prepared;
  return {
    policy,
    rewards,
    samples: config.num_generations,
    scaleRewards: config.scale_rewards,
    normaliser: config.loss_type,
    maxCompletionLength: config.max_completion_length,
    loss: { surrogate: "clip", epsilon: config.epsilon, epsilonHigh: config.epsilon_high, beta: config.beta, kl: "k3" },
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

function planSummary({ config, plan }: PreparedRun): PlanSummary {
  return {
    steps: plan.steps,
    rollouts: plan.rollouts,
    promptsPerStep: config.prompts_per_step,
    numGenerations: config.num_generations,
    updatesPerRollout: plan.updatesPerRollout,
    leftOver: plan.leftOver,
  };
}

function announce({ policy, writer, state, mismatches, control }: Loop, plan: PlanSummary): void {
  const resumedFrom = state.step;
  const model = policy.description;
  control.emit({ type: "run-start", folder: writer.folder, plan, model, resumedFrom, mismatches });
  writer.event({ type: "run-start", step: resumedFrom, plan, resumedFrom, mismatches });
}

async function evaluate(loop: Loop): Promise<void> {
  const { prepared, policy, writer, state, control, options } = loop;
  const { config, heldOut } = prepared;
  if (heldOut.length === 0) return;
  const results = await evaluateRows(policy, heldOut, {
    samples: config.eval_samples,
    step: state.rollout + 1,
    thinking: config.question_template !== "scoring_non_thinking",
    signal: options.signal,
  });
  const { step } = state;
  state.evaluations.push({ step, results });
  writer.evaluation(
    step,
    results.map((result) => ({ ...result })),
  );
  writer.event({ type: "eval-end", step, results });
  control.emit({ type: "eval-end", step, results });
  await callBack(options.callbacks ?? {}, "onEvaluate", { step, results, folder: writer.folder });
}

async function save(loop: Loop): Promise<void> {
  const { prepared, policy, writer, state, control, options } = loop;
  const started = performance.now();
  const checkpoint = await saveCheckpoint(policy, writer.folder, state, prepared.config.save_only_model);
  if (prepared.config.save_total_limit !== null) {
    await pruneCheckpoints({ runFolder: writer.folder, keep: prepared.config.save_total_limit });
  }
  const seconds = (performance.now() - started) / 1000;
  const { step } = state;
  writer.event({ type: "checkpoint-end", step, folder: checkpoint, seconds });
  control.emit({ type: "checkpoint-end", step, folder: checkpoint, seconds });
  await callBack(options.callbacks ?? {}, "onSave", { step, checkpoint, folder: writer.folder });
}

async function finish(loop: Loop, recorder: Recorder): Promise<RunResult> {
  const { prepared, policy, writer, state, control } = loop;
  const { plan } = prepared;
  const reason = state.rollout >= plan.rollouts ? "finished" : "stopped";
  if (reason === "finished" && state.evaluations.at(-1)?.step !== state.step) await evaluate(loop);
  await save(loop);
  const model = join(writer.folder, "model");
  await exportModel(policy, model);
  const mean = (pick: (one: (typeof recorder.timings)[number]) => number): number =>
    recorder.timings.length === 0
      ? 0
      : recorder.timings.reduce((sum, one) => sum + pick(one), 0) / recorder.timings.length;
  const { peakRss } = await policy.memory();
  writer.event({ type: "run-end", step: state.step, reason, model });
  control.emit({ type: "run-end", step: state.step, reason, model });
  return {
    folder: writer.folder,
    step: state.step,
    steps: plan.steps,
    reason,
    model,
    metrics: recorder.last,
    evaluations: state.evaluations,
    secondsPerStep: mean((one) => one.total),
    controlSecondsPerStep: mean((one) => one.control),
    peakMemory: { node: process.resourceUsage().maxRSS * 1024, worker: peakRss },
  };
}
