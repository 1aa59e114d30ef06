/**
 * A run that is verified: what every part of it looks at.
 *
 * @module
 */
import type { LogRecord, Run } from "../../runs/index.js";
import type { RolloutRecord } from "../replay/record.js";
import type { Comparisons } from "./comparisons.js";
import type { ExportedModel } from "./exported-model.js";
import type { Environment } from "./environment.js";
import type { RecordedCheckpoints } from "./recorded-checkpoints.js";

/** [P][G] a rollout batch as it was recorded; null where it was not. */
export type RecordedBatch = readonly (readonly RolloutRecord[])[] | null;

/** Everything about a run that does not depend on what it trains for. */
export interface Verified {
  readonly run: Run;
  readonly environment: Environment;
  readonly events: readonly LogRecord[];
  readonly checkpoints: RecordedCheckpoints;
  readonly comparisons: Comparisons;
  /** Steps that are asked for, inclusive. */
  readonly from: number;
  readonly to: number;
  readonly model: ExportedModel;
  /** How the processes differ from the run's, in words. */
  readonly otherProcesses: readonly string[];
  /** The run drew completions; they are drawn again. */
  readonly samples: boolean;
  readonly resample: boolean;
  /** For numbers that the model has a part in, on another machine. */
  readonly tolerance: number;
  /** Steps between two lines of metrics. */
  readonly loggingSteps: number;
  /** Rewards whose recorded values are taken as they are. */
  readonly takenRewards: readonly string[];
  /** The rollout batch under way, for those rewards. */
  readonly current: { records: RecordedBatch };
  readonly onStep: (step: number) => void;
  readonly signal: AbortSignal | undefined;
}
