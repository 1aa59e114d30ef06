/**
 * Turns what happens in a GRPO step into metrics, rollout records and events.
 *
 * @module
 */
import type { ResolvedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import type { Picture, RolloutGroup } from "../policy/index.js";
import type { ScoredRewards } from "../rewards/index.js";
import type { Sample, StepMetrics } from "./events.js";
import type { GrpoObserver, UpdateRecord } from "./grpo.js";
import { completionMetrics, rewardMetrics, rolloutMetrics, updateMetrics } from "./metrics.js";
import type { Run } from "./milestones.js";
import { createPictureCopies } from "./picture-copies.js";
import { replayFields } from "./replay/index.js";
import { stepAttachments } from "./rollout-attachments.js";
import { rolloutRecords, sampleOf } from "./rollout-records.js";
import { createStepRecorder } from "./step-recorder.js";
import type { StepRecorder } from "./step-recorder.js";
import { isWarmingUp, warmupMetrics } from "./warm-up.js";

/** Watches the stations of every step. */
export interface Recorder extends GrpoObserver, StepRecorder<StepMetrics> {
  /** Keeps a small copy of a picture for people to look at, where completions are logged. */
  onPicture(picture: Picture): void;
}

/** What the updates of a rollout batch have in common. */
interface Rollout {
  readonly metrics: ReturnType<typeof rewardMetrics>;
  readonly constantAnswers: ScoredRewards["constantAnswers"];
  readonly sample: Sample | null;
  readonly groups: readonly RolloutGroup<Row>[];
  /** One per completion, where they are logged. */
  readonly records: readonly Record<string, unknown>[];
}

/** Records a run from its first step on. */
export function createRecorder(run: Run<StepMetrics>, config: ResolvedConfig): Recorder {
  const { policy, writer, control, state } = run;
  const steps = createStepRecorder(run);
  const copies = createPictureCopies(writer);
  let rollout: Rollout | null = null;
  let firstOfRollout = true;

  return Object.assign(steps, {
    onPicture(picture: Picture) {
      if (config.log_completions) copies.add(picture);
    },
    onProgress({ tokens, finished }) {
      control.emit({ type: "generate-progress", step: policy.version + 1, tokens, finished });
    },
    onRollout() {
      steps.lap("generate");
    },
    onRewards() {
      steps.lap("rewards");
    },
    onScored(rolled, kept) {
      const { groups, scored } = rolled;
      const attached = stepAttachments(scored);
      const sample = sampleOf(groups, scored, attached);
      rollout = {
        metrics: {
          ...completionMetrics(groups, config.reference_parity),
          ...warmupMetrics(state.fidelityWarmup),
          ...rewardMetrics(scored),
          ...rolloutMetrics(rolled, kept, config),
        },
        // Fidelity is only measured while another reward is paid for it: what it would pay collapses nothing.
        constantAnswers: isWarmingUp(state.fidelityWarmup) ? {} : scored.constantAnswers,
        sample,
        groups,
        records: config.log_completions ? rolloutRecords(groups, scored, config.reference_parity, attached) : [],
      };
      firstOfRollout = true;
      if (!config.log_completions) return;
      for (const picture of attached.pictures) copies.add({ ...picture, pixels: async () => picture.data });
    },
    onCorrected(metrics) {
      rollout = { ...rollout!, metrics: { ...rollout!.metrics, ...metrics } };
    },
    onValued(valued) {
      const { groups, records, sample } = rollout!;
      const step = policy.version + 1;
      if (config.log_completions) {
        const fields = replayFields(groups, valued, state.fidelityWarmup);
        writer.rollouts(
          step,
          records.map((record, index) => ({ ...record, ...fields[index] })),
        );
      }
      const completions = groups.reduce((total, group) => total + group.completions.length, 0);
      control.emit({ type: "rollout-end", step, completions, sample });
    },
    async onUpdate(record: UpdateRecord) {
      const { constantAnswers, sample, metrics: shared } = rollout!;
      const metrics = { ...shared, ...updateMetrics(record, config.beta > 0 && !config.kl_in_reward) };
      const watched = { metrics, constantAnswers, updateSkipped: record.update.skipped, firstOfRollout };
      firstOfRollout = false;
      await steps.finish({ step: record.step, metrics, watched, sample, settle: () => copies.settle() });
    },
  } satisfies Omit<Recorder, keyof StepRecorder<StepMetrics>>);
}
