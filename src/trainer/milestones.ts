/**
 * What happens between the steps of a run: evaluations, checkpoints, and the end.
 *
 * @module
 */
import { join } from "node:path";
import type { Row } from "../data/index.js";
import type { Policy } from "../policy/index.js";
import { RUN_FILES } from "../runs/index.js";
import type { RunWriter } from "../runs/index.js";
import { callBack } from "./callbacks.js";
import type { Callbacks } from "./callbacks.js";
import type { TrainerState } from "./checkpoint.js";
import type { HeldOutEvaluation, PlanSummary, RunResult, StepValues } from "./events.js";
import type { RunBasis } from "./prepare.js";
import { exportModel } from "./run-folder.js";
import { bestCheckpoint, save, settleSave } from "./saving.js";
import type { SaveSlot } from "./saving.js";
import type { StepRecorder } from "./step-recorder.js";
import type { RunControl } from "./training-run.js";

/** A run under way. */
export interface Run<Metrics extends StepValues> {
  readonly prepared: RunBasis;
  readonly policy: Policy<Row>;
  readonly writer: RunWriter;
  readonly state: TrainerState;
  readonly saving: SaveSlot;
  readonly control: RunControl<Metrics>;
  readonly callbacks: Callbacks<Metrics>;
  readonly signal: AbortSignal | undefined;
}

/** What is trained, and how: the part in which runs differ. `Encoded` is what is made ready ahead of a step. */
export interface Recipe<Metrics extends StepValues, Encoded> {
  readonly recorder: StepRecorder<Metrics>;
  /** @param rollout number of the rollout batch, 1-based */
  encode(rollout: number): Promise<Encoded>;
  /** All updates of a rollout batch. */
  step(rollout: number, encoded: Encoded): Promise<void>;
  /** Looks at the held-out rows, of which there is at least one. */
  evaluate(): Promise<Omit<HeldOutEvaluation, "step">>;
}

/** Tells what is going to happen. */
export function announce<Metrics extends StepValues>(
  { prepared, policy, writer, state, control }: Run<Metrics>,
  mismatches: readonly string[],
): void {
  const { plan: whole } = prepared;
  const plan: PlanSummary = {
    steps: whole.steps,
    rollouts: whole.rollouts,
    promptsPerStep: whole.promptsPerStep,
    numGenerations: whole.completionsPerRollout / whole.promptsPerStep,
    updatesPerRollout: whole.updatesPerRollout,
    leftOver: whole.leftOver,
  };
  const resumedFrom = state.step;
  const model = policy.description;
  control.emit({ type: "run-start", folder: writer.folder, plan, model, resumedFrom, mismatches });
  writer.event({ type: "run-start", step: resumedFrom, plan, resumedFrom, mismatches });
  for (const message of model.warnings) {
    const alarm = { type: "alarm", step: resumedFrom, name: "model", message } as const;
    control.emit(alarm);
    writer.event(alarm);
  }
}

/** Looks at the held-out rows, where there are any. */
export async function evaluate<Metrics extends StepValues>(
  { prepared, writer, state, control, callbacks }: Run<Metrics>,
  recipe: Pick<Recipe<Metrics, unknown>, "evaluate">,
): Promise<void> {
  if (prepared.heldOut.length === 0) return;
  const found = await recipe.evaluate();
  const evaluation: HeldOutEvaluation = { step: state.step, ...found };
  const { step, results, loss } = evaluation;
  state.evaluations.push(evaluation);
  const records = results.map((result) => ({ ...result }));
  writer.evaluation(step, loss === undefined ? records : [{ loss }, ...records]);
  writer.event({ type: "eval-end", ...evaluation });
  control.emit({ type: "eval-end", ...evaluation });
  await callBack(callbacks, "onEvaluate", { ...evaluation, folder: writer.folder });
}

/** Evaluates a last time, saves unless this step was saved, exports the model, and sums up. In a hurry it only saves. */
export async function finish<Metrics extends StepValues>(
  run: Run<Metrics>,
  recipe: Pick<Recipe<Metrics, unknown>, "evaluate" | "recorder">,
  savedAt: number | null,
): Promise<RunResult<Metrics>> {
  const { prepared, policy, writer, state, control, signal } = run;
  const { recorder } = recipe;
  const { plan } = prepared;
  const isLast = state.rollout >= plan.rollouts;
  if (isLast && !control.hurried && state.evaluations.at(-1)?.step !== state.step) await evaluate(run, recipe);
  signal?.throwIfAborted();
  // A run that was stopped before its first step has nothing that the starting checkpoint does not have.
  const trained = state.step > 0;
  if (trained && savedAt !== state.step) await save(run, { last: true });
  else await settleSave(run);
  signal?.throwIfAborted();
  // Asked now, because the hurry may have begun while something was evaluated or saved.
  const reason = isLast && !control.hurried ? "finished" : "stopped";
  const model = trained && !control.hurried ? join(writer.folder, RUN_FILES.model) : null;
  const best = model === null ? null : await bestCheckpoint(run);
  // Weights and optimizer of the last step are in its checkpoint: nothing is lost here.
  if (best !== null && best.step !== state.step) await policy.restore(best.folder);
  if (model !== null) await exportModel(policy, model);
  const { peakRss } = await policy.memory();
  const { spent } = recorder;
  const modelStep = model === null ? null : (best?.step ?? state.step);
  const end = { type: "run-end", step: state.step, reason, model, modelStep } as const;
  writer.event(end);
  control.emit(end);
  return {
    folder: writer.folder,
    step: state.step,
    steps: plan.steps,
    reason,
    model,
    modelStep,
    metrics: recorder.last,
    evaluations: state.evaluations,
    secondsPerStep: spent.total / Math.max(1, spent.steps),
    controlSecondsPerStep: spent.control / Math.max(1, spent.steps),
    peakMemory: { node: process.resourceUsage().maxRSS * 1024, worker: peakRss },
  };
}
