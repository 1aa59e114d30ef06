/**
 * What happens between the steps of a run: evaluations, checkpoints, and the end.
 *
 * @module
 */
import { join } from "node:path";
import type { Row } from "../data/index.js";
import type { Policy } from "../policy/index.js";
import { asksForThinking } from "../prompts/index.js";
import { pruneCheckpoints } from "../runs/index.js";
import type { RunWriter } from "../runs/index.js";
import { mean } from "../stats/index.js";
import { callBack } from "./callbacks.js";
import type { Callbacks } from "./callbacks.js";
import { saveCheckpoint } from "./checkpoint.js";
import type { TrainerState } from "./checkpoint.js";
import { evaluateRows } from "./evaluation/index.js";
import type { PlanSummary, RunResult } from "./events.js";
import { fidelityOptions } from "./prepare.js";
import type { PreparedRun } from "./prepare.js";
import type { Recorder } from "./recorder.js";
import { exportModel } from "./run-folder.js";
import type { RunControl } from "./training-run.js";

/** A run under way. */
export interface Run {
  readonly prepared: PreparedRun;
  readonly policy: Policy<Row>;
  readonly writer: RunWriter;
  readonly state: TrainerState;
  readonly control: RunControl;
  readonly recorder: Recorder;
  readonly callbacks: Callbacks;
  readonly signal: AbortSignal | undefined;
}

/** Tells what is going to happen. */
export function announce({ prepared, policy, writer, state, control }: Run, mismatches: readonly string[]): void {
  const { config, plan: whole } = prepared;
  const plan: PlanSummary = {
    steps: whole.steps,
    rollouts: whole.rollouts,
    promptsPerStep: config.prompts_per_step,
    numGenerations: config.num_generations,
    updatesPerRollout: whole.updatesPerRollout,
    leftOver: whole.leftOver,
  };
  const resumedFrom = state.step;
  const model = policy.description;
  control.emit({ type: "run-start", folder: writer.folder, plan, model, resumedFrom, mismatches });
  writer.event({ type: "run-start", step: resumedFrom, plan, resumedFrom, mismatches });
}

/** Rates the held-out rows, where there are any. */
export async function evaluate({ prepared, policy, writer, state, control, callbacks, signal }: Run): Promise<void> {
  const { config, heldOut } = prepared;
  if (heldOut.length === 0) return;
  const { results } = await evaluateRows(policy, heldOut, {
    estimators: config.eval_estimators,
    samples: config.eval_samples,
    expectedAfter: config.eval_expected_after ?? undefined,
    bootstrap: config.eval_bootstrap,
    seed: config.seed,
    step: state.rollout + 1,
    thinking: asksForThinking(config.question_template),
    referenceParity: config.reference_parity,
    fidelity: fidelityOptions(config),
    signal,
  });
  const { step } = state;
  state.evaluations.push({ step, results });
  writer.evaluation(
    step,
    results.map((result) => ({ ...result })),
  );
  writer.event({ type: "eval-end", step, results });
  control.emit({ type: "eval-end", step, results });
  await callBack(callbacks, "onEvaluate", { step, results, folder: writer.folder });
}

/** Takes a checkpoint, then deletes those that are too many. */
export async function save({ prepared, policy, writer, state, control, callbacks }: Run): Promise<void> {
  const started = performance.now();
  const checkpoint = await saveCheckpoint(policy, writer.folder, state, prepared.config.save_only_model);
  if (prepared.config.save_total_limit !== null) {
    await pruneCheckpoints({ runFolder: writer.folder, keep: prepared.config.save_total_limit });
  }
  const seconds = (performance.now() - started) / 1000;
  const { step } = state;
  writer.event({ type: "checkpoint-end", step, folder: checkpoint, seconds });
  control.emit({ type: "checkpoint-end", step, folder: checkpoint, seconds });
  await callBack(callbacks, "onSave", { step, checkpoint, folder: writer.folder });
}

/** Evaluates a last time, saves unless this step was saved, exports the model, and sums up. */
export async function finish(run: Run, savedAt: number | null): Promise<RunResult> {
  const { prepared, policy, writer, state, control, recorder, signal } = run;
  const { plan } = prepared;
  const reason = state.rollout >= plan.rollouts ? "finished" : "stopped";
  if (reason === "finished" && state.evaluations.at(-1)?.step !== state.step) await evaluate(run);
  signal?.throwIfAborted();
  // A run that was stopped before its first step has nothing that the starting checkpoint does not have.
  const trained = state.step > 0;
  if (trained && savedAt !== state.step) await save(run);
  signal?.throwIfAborted();
  const model = trained ? join(writer.folder, "model") : null;
  if (model !== null) await exportModel(policy, model);
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
    secondsPerStep: mean(recorder.timings.map(({ total }) => total)) ?? 0,
    controlSecondsPerStep: mean(recorder.timings.map(({ control }) => control)) ?? 0,
    peakMemory: { node: process.resourceUsage().maxRSS * 1024, worker: peakRss },
  };
}
