/**
 * The run folder: what a training writes and everything else reads.
 *
 * @module
 */

export {
  beginCheckpoint,
  latestCheckpoint,
  latestWholeCheckpoint,
  listCheckpoints,
  pruneCheckpoints,
  readCheckpoint,
  verifyCheckpoint,
  type Checkpoint,
  type CheckpointDraft,
  type CheckpointFile,
  type CheckpointPlace,
} from "./checkpoints.js";
export { sync, syncTree } from "./durable.js";
export { writing } from "./failures.js";
export { checkRunFolder, isRun, type CheckRunFolderOptions } from "./folder.js";
export { linesOfStep, type LogRecord } from "./jsonl.js";
export { RUN_FILES } from "./layout.js";
export type { Pixels } from "./pictures.js";
export { findRuns, openRun, type MetricsRecord, type Run, type RunStatus } from "./reader.js";
export { tail, type TailOptions } from "./tail.js";
export {
  createRun,
  resumeRun,
  type CreateRunOptions,
  type Metrics,
  type ResumeRunOptions,
  type RunEventRecord,
  type RunWriter,
} from "./writer.js";
