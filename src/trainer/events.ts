/**
 * What a training run tells while it runs: a union that narrows on `type`.
 *
 * @module
 */
import type { ModelDescription } from "../policy/index.js";
import type { DatasetResult } from "./evaluation/index.js";
import type { AttachedFields } from "./rollout-attachments.js";

/** Values of one step by name; null where a value does not exist. */
export type StepValues = Readonly<Record<string, number | null>>;

/** Values of one step of `train` under TRL's names; null where a value does not exist (no reference: no kl). */
export interface StepMetrics {
  /** Mean total reward over all completions of the rollout batch. */
  readonly reward: number | null;
  /** Mean over groups of the standard deviation within the group. */
  readonly reward_std: number | null;
  readonly [name: string]: number | null;
}

/** Values of one step of `sft` under TRL's names. */
export interface SftMetrics {
  /** Mean negative log-likelihood per answer token of the update, in nats. */
  readonly loss: number;
  /** Answer tokens of the update. */
  readonly num_tokens: number;
  readonly learning_rate: number;
  readonly [name: string]: number | null;
}

/**
 * Seconds of one step by who was waited for, and bytes over the bridge. Not part of the reproducible record. Callbacks
 * count for the step after them; evaluations and checkpoints count for none.
 */
export interface StepTimings {
  /** Wall seconds of the step. */
  readonly total: number;
  /** Seconds in which the worker was waited for, the way there and back included. */
  readonly worker: number;
  /** The part of them that the worker does not report as its own work: packing, sending, waiting in line. */
  readonly bridge: number;
  /** The rest: TypeScript alone. */
  readonly control: number;
  /** Stages: waiting for the prompts that were encoded ahead, sampling, rewards, loss and update. */
  readonly encode: number;
  readonly generate: number;
  readonly rewards: number;
  readonly update: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** One completion shown to the person who watches, with what rewards attached to it. */
export interface Sample extends AttachedFields {
  readonly row: string;
  readonly text: string;
  readonly reward: number | null;
  readonly mos: number | null;
}

/** What was found on held-out rows after a step. */
export interface HeldOutEvaluation {
  readonly step: number;
  /** One result per data set; none where no row has a MOS to compare with. */
  readonly results: readonly DatasetResult[];
  /** Mean negative log-likelihood per token of the held-out answers, in nats; only `sft` has answers to compare with. */
  readonly loss?: number;
}

/** What an alarm is about; `memory` of parts that were too large; `model` speaks of the checkpoint on this machine, before the first step. */
export type AlarmName =
  "parse-failures" | "truncation" | "zero-variance" | "entropy" | "collapse" | "update-skipped" | "memory" | "model";

/** The plan in numbers, as `--dry-run` prints it. */
export interface PlanSummary {
  readonly steps: number;
  readonly rollouts: number;
  readonly promptsPerStep: number;
  readonly numGenerations: number;
  readonly updatesPerRollout: number;
  readonly leftOver: number;
}

/** What a run tells, in the order in which it happens. */
export type TrainerEvent<Metrics extends StepValues = StepMetrics> =
  | {
      readonly type: "run-start";
      readonly folder: string;
      readonly plan: PlanSummary;
      readonly model: ModelDescription;
      /** Step the run goes on from; 0 for a new run. */
      readonly resumedFrom: number;
      /** What differs from the machine of the checkpoint, in words; results may then differ in the last bits. */
      readonly mismatches: readonly string[];
    }
  /** A rollout batch, or the rows of an update of `sft`, begins; `step` is its first update, and it may feed several. */
  | { readonly type: "step-start"; readonly step: number; readonly epoch: number }
  | { readonly type: "generate-progress"; readonly step: number; readonly tokens: number; readonly finished: number }
  | {
      readonly type: "rollout-end";
      readonly step: number;
      readonly completions: number;
      readonly sample: Sample | null;
    }
  | {
      readonly type: "step-end";
      readonly step: number;
      readonly steps: number;
      readonly epoch: number;
      readonly metrics: Metrics;
      readonly timings: StepTimings;
      readonly sample: Sample | null;
    }
  | ({ readonly type: "eval-end" } & HeldOutEvaluation)
  | {
      readonly type: "checkpoint-end";
      readonly step: number;
      readonly folder: string;
      /** From when it was begun until it was complete, and the part of them in which training waited. */
      readonly seconds: number;
      readonly waitedSeconds: number;
      /** SHA-256 of its files by name, in hex; they stay in the log when the checkpoint is deleted. */
      readonly digests: Readonly<Record<string, string>>;
    }
  /** The warm-up of `fidelity_warmup` is over: fidelity pays from the next rollout batch on. */
  | {
      readonly type: "fidelity-warmup-end";
      readonly step: number;
      /** Averages over the last rollout batches: correlation with the labels, and fidelity above a constant answer's. */
      readonly srcc: number;
      readonly surplus: number;
      readonly message: string;
    }
  | { readonly type: "alarm"; readonly step: number; readonly name: AlarmName; readonly message: string }
  | {
      readonly type: "run-end";
      readonly step: number;
      readonly reason: "finished" | "stopped";
      /** As in the result. */
      readonly model: string | null;
      readonly modelStep: number | null;
    };

/** What `run.result` resolves to. */
export interface RunResult<Metrics extends StepValues = StepMetrics> {
  readonly folder: string;
  /** Last optimizer step taken, and steps planned. */
  readonly step: number;
  readonly steps: number;
  readonly reason: "finished" | "stopped";
  /** Folder of the exported Hugging Face checkpoint; null when the run was stopped before its first step, or in a hurry. */
  readonly model: string | null;
  /** The step it is of: the last one, or the best one with `load_best_model_at_end`. */
  readonly modelStep: number | null;
  /** Metrics of the last step; null when none was taken. */
  readonly metrics: Metrics | null;
  /** Held-out results in the order they were made. */
  readonly evaluations: readonly HeldOutEvaluation[];
  /** Seconds per step: all, and TypeScript alone (mean over steps). */
  readonly secondsPerStep: number;
  readonly controlSecondsPerStep: number;
  /** Peak resident bytes. */
  readonly peakMemory: { readonly node: number; readonly worker: number };
}
