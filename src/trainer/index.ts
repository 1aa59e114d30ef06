/**
 * The trainer: whole runs, and what they are made of.
 *
 * @module
 */
export type { Callbacks, EvaluateContext, SaveContext, StepContext } from "./callbacks.js";
export {
  byEstimator,
  canonicalJson,
  compareEvaluations,
  digestModel,
  evaluate,
  estimatorColours,
  evaluateRows,
  ledger,
  pairedDifference,
  plotSvg,
  reportOf,
  svgNumber,
  writeEvaluation,
  writeText,
} from "./evaluation/index.js";
export type * from "./evaluation/index.js";
export type { EstimatorName } from "./estimators.js";
export type * from "./events.js";
export { createMetric } from "./metric.js";
export type { Metric } from "./metric.js";
export { findModel, listModels } from "./metric-models.js";
export type { BundledModel, FindModelOptions, FoundModel } from "./metric-models.js";
export type { MetricMode, MetricOptions } from "./metric-options.js";
export type { MetricInput, Rating } from "./metric-rater.js";
export type { ScoreOptions } from "./metric-stream.js";
export { connectPython, openPolicy } from "./open-policy.js";
export type { Connection, OpenPolicyOptions } from "./open-policy.js";
export { loadOwnRewards, namedRewards } from "./own-rewards.js";
export { forecastSft, forecastTraining, refuseTooLarge, remedyText, uncheckedText } from "./memory-forecast.js";
export type { MemoryForecast } from "./memory-forecast.js";
export { prepareRun } from "./prepare.js";
export type { PreparedRun } from "./prepare.js";
export { probe } from "./probe.js";
export type { ProbeResult } from "./probe.js";
export { pythonReward } from "./python-reward.js";
export type { PythonRewardOptions } from "./python-reward.js";
export { replayRewards, REPLAY_KEYS } from "./replay/index.js";
export type {
  Change,
  ReplayCounts,
  ReplayedCompletion,
  ReplayedStep,
  ReplayKeys,
  ReplayRewardsOptions,
  RewardReplay,
} from "./replay/index.js";
export { exportSource } from "./export-source.js";
export type { ExportedSource, ExportSourceOptions } from "./export-source.js";
export { exportModel } from "./run-folder.js";
export { sft } from "./sft-run.js";
export type { SftOptions } from "./sft-run.js";
export { prepareSft } from "./sft-prepare.js";
export type { PreparedSft } from "./sft-prepare.js";
export { train } from "./train.js";
export type { TrainOptions } from "./train.js";
export { toTrainBatch } from "./train-batch.js";
export type { TrainBatchOptions } from "./train-batch.js";
export type { TrainingRun } from "./training-run.js";
export { SUBJECTS, VERIFY_KEYS, verifyRun } from "./verify/index.js";
export type { Difference, Subject, Verification, VerifiedStep, VerifyKeys, VerifyOptions } from "./verify/index.js";
