/**
 * Turns what happens in a step into metrics, timings, log lines, events and callbacks.
 *
 * @module
 */
import { rolloutRecords, sampleOf } from "./rollout-records.js";
import { checkAlarms } from "./alarms.js";
import { callBack } from "./callbacks.js";
import type { Callbacks } from "./callbacks.js";
import type { Sample, StepMetrics, StepTimings } from "./events.js";
import type { GrpoObserver, UpdateRecord } from "./grpo.js";
import { completionMetrics, rewardMetrics, updateMetrics } from "./metrics.js";
import type { ResolvedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import type { Policy, PolicyUsage } from "../policy/index.js";
import type { RunWriter } from "../runs/index.js";
import type { TrainerState } from "./checkpoint.js";
import type { RunControl } from "./training-run.js";

export interface RecorderOptions {
  readonly config: ResolvedConfig;
  readonly policy: Policy<Row>;
  readonly writer: RunWriter;
  readonly control: RunControl;
  readonly callbacks: Callbacks;
  readonly state: TrainerState;
  readonly steps: number;
  /** Passes over the data done after an optimizer step. */
  readonly epochOf: (step: number) => number;
}

export interface Recorder extends GrpoObserver {
  /** A rollout batch begins. */
  begin(): void;
  /** Wall and control seconds of each step so far. */
  readonly timings: readonly StepTimings[];
  readonly last: StepMetrics | null;
}

export function createRecorder(options: RecorderOptions): Recorder {
  const { config, policy, writer, control, callbacks, state, steps } = options;
  const timings: StepTimings[] = [];
  let last: StepMetrics | null = null;
  let clock = startClock(policy);
  let rollout: Record<string, number | null> & { reward: number | null; reward_std: number | null } = {
    reward: null,
    reward_std: null,
  };
  let constantAnswerReward: number | null = null;
  let sample: Sample | null = null;

  return {
    timings,
    get last() {
      return last;
    },
    begin() {
      clock = startClock(policy);
      control.emit({ type: "step-start", step: policy.version + 1, epoch: options.epochOf(policy.version) });
    },
    onProgress({ tokens, finished }) {
      control.emit({ type: "generate-progress", step: policy.version + 1, tokens, finished });
    },
    onRollout() {
      clock.lap("generate");
    },
    onScored(groups, scored) {
      clock.lap("rewards");
      rollout = { ...completionMetrics(groups, config.reference_parity), ...rewardMetrics(scored) };
      constantAnswerReward = scored.constantAnswerReward;
      sample = sampleOf(groups, scored);
      const completions = groups.reduce((total, group) => total + group.completions.length, 0);
      if (config.log_completions) writer.rollouts(policy.version + 1, rolloutRecords(groups, scored));
      control.emit({ type: "rollout-end", step: policy.version + 1, completions, sample });
    },
    async onUpdate(record: UpdateRecord) {
      const { step, update } = record;
      const epoch = options.epochOf(step);
      const metrics: StepMetrics = { epoch, ...rollout, ...updateMetrics(record, config.beta > 0) };
      const spent = clock.finish();
      clock = startClock(policy);
      timings.push(spent);
      last = metrics;
      state.step = step;
      if (step % config.logging_steps === 0 || step === steps) writer.metrics(step, metrics);
      writer.timings(step, { ...spent });
      const alarms = checkAlarms(state.alarms, { step, metrics, constantAnswerReward, updateSkipped: update.skipped });
      for (const alarm of alarms) {
        control.emit({ type: "alarm", step, ...alarm });
        writer.event({ type: "alarm", step, name: alarm.name, message: alarm.message });
      }
      control.emit({ type: "step-end", step, steps, epoch, metrics, timings: spent, sample });
      await callBack(callbacks, "onStep", {
        step,
        steps,
        epoch,
        metrics,
        timings: spent,
        sample,
        folder: writer.folder,
      });
    },
  };
}

interface StepClock {
  lap(name: "generate" | "rewards"): void;
  finish(): StepTimings;
}

function startClock(policy: Policy<Row>): StepClock {
  const started = performance.now();
  const before: PolicyUsage = policy.usage();
  const laps = { generate: 0, rewards: 0 };
  let lapStart = started;
  const seconds = (from: number): number => (performance.now() - from) / 1000;
  return {
    lap(name) {
      laps[name] += seconds(lapStart);
      lapStart = performance.now();
    },
    finish() {
      const total = seconds(started);
      const usage = policy.usage();
      const worker = usage.busySeconds - before.busySeconds;
      return {
        total,
        worker,
        control: Math.max(0, total - worker),
        ...laps,
        update: seconds(lapStart),
        bytesSent: usage.bytesSent - before.bytesSent,
        bytesReceived: usage.bytesReceived - before.bytesReceived,
      };
    },
  };
}
