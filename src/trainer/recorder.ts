/**
 * Turns what happens in a step into metrics, timings, log lines, events and callbacks.
 *
 * @module
 */
import type { ResolvedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import type { Picture, Policy } from "../policy/index.js";
import type { ScoredRewards } from "../rewards/index.js";
import type { RunWriter } from "../runs/index.js";
import { checkAlarms } from "./alarms.js";
import { callBack } from "./callbacks.js";
import type { Callbacks } from "./callbacks.js";
import type { TrainerState } from "./checkpoint.js";
import type { Sample, StepMetrics, StepTimings } from "./events.js";
import type { GrpoObserver, UpdateRecord } from "./grpo.js";
import { completionMetrics, rewardMetrics, updateMetrics } from "./metrics.js";
import { createPictureCopies } from "./picture-copies.js";
import { rolloutRecords, sampleOf } from "./rollout-records.js";
import { startStepClock } from "./step-clock.js";
import type { RunControl } from "./training-run.js";
import { isWarmingUp, warmupMetrics } from "./warm-up.js";

/** What is recorded, and where. */
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

/** Watches the stations of every step. */
export interface Recorder extends GrpoObserver {
  /** A rollout batch begins: its prompts are waited for. */
  begin(): void;
  /** Runs something between two steps whose time belongs to neither. */
  outside<T>(work: () => Promise<T>): Promise<T>;
  /** Its prompts are there. */
  onPrompts(): void;
  /** Keeps a small copy of a picture for people to look at, where completions are logged. */
  onPicture(picture: Picture): void;
  /** Seconds and bytes of each step so far. */
  readonly timings: readonly StepTimings[];
  /** Metrics of the last step; null before the first. */
  readonly last: StepMetrics | null;
}

/** What the updates of a rollout batch have in common. */
interface Rollout {
  readonly metrics: ReturnType<typeof rewardMetrics>;
  readonly constantAnswers: ScoredRewards["constantAnswers"];
  readonly sample: Sample | null;
}

/** Records a run from its first step on. */
export function createRecorder(options: RecorderOptions): Recorder {
  const { config, policy, writer, control, callbacks, state, steps } = options;
  const copies = createPictureCopies(writer);
  const timings: StepTimings[] = [];
  let last: StepMetrics | null = null;
  const clock = startStepClock(() => policy.usage());
  let rollout: Rollout | null = null;
  let firstOfRollout = true;

  return {
    timings,
    get last() {
      return last;
    },
    begin() {
      clock.lap("between");
      control.emit({ type: "step-start", step: policy.version + 1, epoch: options.epochOf(policy.version) });
    },
    outside: (work) => clock.leaveOut(work),
    onPrompts() {
      clock.lap("encode");
    },
    onPicture(picture) {
      if (config.log_completions) copies.add(picture);
    },
    onProgress({ tokens, finished }) {
      control.emit({ type: "generate-progress", step: policy.version + 1, tokens, finished });
    },
    onRollout() {
      clock.lap("generate");
    },
    onScored(groups, scored) {
      clock.lap("rewards");
      const step = policy.version + 1;
      const sample = sampleOf(groups, scored);
      rollout = {
        metrics: {
          ...completionMetrics(groups, config.reference_parity),
          ...warmupMetrics(state.fidelityWarmup),
          ...rewardMetrics(scored),
        },
        // Fidelity is only measured while another reward is paid for it: what it would pay collapses nothing.
        constantAnswers: isWarmingUp(state.fidelityWarmup) ? {} : scored.constantAnswers,
        sample,
      };
      firstOfRollout = true;
      if (config.log_completions) writer.rollouts(step, rolloutRecords(groups, scored, config.reference_parity));
      const completions = groups.reduce((total, group) => total + group.completions.length, 0);
      control.emit({ type: "rollout-end", step, completions, sample });
    },
    async onUpdate(record: UpdateRecord) {
      const { step, update } = record;
      const { constantAnswers, sample, metrics: shared } = rollout!;
      const epoch = options.epochOf(step);
      const metrics: StepMetrics = { epoch, ...shared, ...updateMetrics(record, config.beta > 0) };
      const spent = clock.finish();
      timings.push(spent);
      last = metrics;
      state.step = step;
      if (step % config.logging_steps === 0 || step === steps) writer.metrics(step, metrics);
      writer.timings(step, { ...spent });
      for (const alarm of checkAlarms(state.alarms, {
        step,
        metrics,
        constantAnswers,
        updateSkipped: update.skipped,
        firstOfRollout,
      })) {
        control.emit({ type: "alarm", step, ...alarm });
        writer.event({ type: "alarm", step, ...alarm });
      }
      firstOfRollout = false;
      await copies.settle();
      control.emit({ type: "step-end", step, steps, epoch, metrics, timings: spent, sample });
      const { folder } = writer;
      await callBack(callbacks, "onStep", { step, steps, epoch, metrics, timings: spent, sample, folder });
    },
  };
}
