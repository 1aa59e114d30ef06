/**
 * What every optimizer update leaves behind, whatever it was made from: metrics, timings, alarms, events and callbacks.
 *
 * @module
 */
import { checkAlarms, memoryAlarm } from "./alarms.js";
import type { AlarmInput } from "./alarms.js";
import { callBack } from "./callbacks.js";
import type { Sample, StepTimings, StepValues } from "./events.js";
import type { Run } from "./milestones.js";
import { startStepClock } from "./step-clock.js";
import type { StepClock } from "./step-clock.js";

/** One update that was applied. */
export interface FinishedStep<Metrics extends StepValues> {
  /** Optimizer step, 1-based. */
  readonly step: number;
  /** Without the epoch, which is the recorder's to say. */
  readonly metrics: Metrics;
  /** What alarms look at; alarms about metrics that are missing here never sound. */
  readonly watched: Omit<AlarmInput, "step">;
  readonly sample: Sample | null;
  /** Waited for when the logs are written, and before anybody is told. */
  readonly settle?: () => Promise<void>;
}

/** Watches the steps of a run. */
export interface StepRecorder<Metrics extends StepValues> {
  /** A step begins: its prompts are waited for. */
  begin(): void;
  /** Its prompts are there. */
  onPrompts(): void;
  /** A stage of the step is over. */
  lap(stage: Parameters<StepClock["lap"]>[0]): void;
  /** An update was applied. */
  finish(step: FinishedStep<Metrics>): Promise<void>;
  /** Runs something between two steps whose time belongs to neither. */
  outside<T>(work: () => Promise<T>): Promise<T>;
  /** Seconds of all steps so far, and how many there were. */
  readonly spent: Pick<StepTimings, "total" | "control"> & { readonly steps: number };
  /** Metrics of the last step; null before the first. */
  readonly last: Metrics | null;
}

/** Records a run from its first step on. */
export function createStepRecorder<Metrics extends StepValues>(run: Run<Metrics>): StepRecorder<Metrics> {
  const { prepared, policy, writer, control, callbacks, state } = run;
  const { steps, epochs } = prepared.plan;
  const { logging_steps: logged } = prepared.config;
  const epochOf = (step: number): number => (step / steps) * epochs;
  const clock = startStepClock(() => policy.usage());
  const all = { total: 0, control: 0, steps: 0 };
  let last: Metrics | null = null;

  return {
    spent: all,
    get last() {
      return last;
    },
    begin() {
      clock.lap("between");
      control.emit({ type: "step-start", step: policy.version + 1, epoch: epochOf(policy.version) });
    },
    onPrompts: () => clock.lap("encode"),
    lap: (stage) => clock.lap(stage),
    outside: (work) => clock.leaveOut(work),
    async finish({ step, metrics: own, watched, sample, settle }) {
      const epoch = epochOf(step);
      const metrics: Metrics = { epoch, ...own };
      const spent = clock.finish();
      all.total += spent.total;
      all.control += spent.control;
      all.steps += 1;
      last = metrics;
      state.step = step;
      if (step % logged === 0 || step === steps) writer.metrics(step, metrics);
      writer.timings(step, { ...spent });
      for (const alarm of [...memoryAlarm(policy, state), ...checkAlarms(state.alarms, { step, ...watched })]) {
        control.emit({ type: "alarm", step, ...alarm });
        writer.event({ type: "alarm", step, ...alarm });
      }
      await settle?.();
      control.emit({ type: "step-end", step, steps, epoch, metrics, timings: spent, sample });
      const { folder } = writer;
      await callBack(callbacks, "onStep", { step, steps, epoch, metrics, timings: spent, sample, folder });
    },
  };
}
