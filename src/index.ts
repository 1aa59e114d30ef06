/**
 * thurstone: reinforcement learning to rank for vision-language models.
 *
 * @module
 */
export { compareEvaluations, evaluate, ledger, sft, train, writeEvaluation } from "./trainer/index.js";
export type {
  Callbacks,
  CompareOptions,
  DatasetResult,
  EstimatorName,
  EstimatorResult,
  EvaluateContext,
  EvaluateOptions,
  Evaluation,
  EvaluationDifference,
  EvaluationFailure,
  EvaluationReport,
  EvaluationSettings,
  HeldOutEvaluation,
  Ledger,
  LedgerOptions,
  LedgerResult,
  LedgerTerm,
  OpenPolicyOptions,
  Prediction,
  RunResult,
  SaveContext,
  SftMetrics,
  SftOptions,
  StepContext,
  StepMetrics,
  StepTimings,
  StepValues,
  TrainerEvent,
  TrainingRun,
  TrainOptions,
} from "./trainer/index.js";
export {
  createSchedule,
  defineConfig,
  loadConfig,
  loadSftConfig,
  planRun,
  resolveConfig,
  resolveSftConfig,
  schedules,
} from "./config/index.js";
export type {
  ConfigInput,
  ConfigProblem,
  ResolvedConfig,
  ResolvedSftConfig,
  RunPlan,
  SftConfigInput,
  SharedConfig,
} from "./config/index.js";
export {
  createMetric,
  listModels,
  openPolicy,
  pythonReward,
  replayRewards,
  toTrainBatch,
  verifyRun,
} from "./trainer/index.js";
export type {
  BundledModel,
  Difference,
  Metric,
  MetricInput,
  MetricMode,
  MetricOptions,
  PythonRewardOptions,
  Rating,
  ReplayCounts,
  ReplayedCompletion,
  ReplayedStep,
  ReplayKeys,
  ReplayRewardsOptions,
  RewardReplay,
  ScoreOptions,
  Subject,
  TrainBatchOptions,
  Verification,
  VerifiedStep,
  VerifyKeys,
  VerifyOptions,
} from "./trainer/index.js";
export { splitUpdates } from "./policy/index.js";
export type * from "./policy/types.js";
export { createSampler, indexRows, loadRows, splitRows, splitRowsInThree } from "./data/index.js";
export { distortionTemplate } from "./prompts/index.js";
export type { CurriculumFunction, Row, RowIndex, Sampler, StreamingSampler } from "./data/index.js";
export { combineRewards, defineReward, scoreRewards } from "./rewards/index.js";
export type { Reward, RewardRecord, RewardSet, ScoredRewards } from "./rewards/index.js";
export { advantagesOf, groupAdvantages } from "./advantages/index.js";
export type { AdvantageOptions } from "./advantages/index.js";
export { httpReward, isTransient, postJson, readHeaders } from "./remote/index.js";
export type { HeaderSource, HttpRewardOptions, PostJsonOptions } from "./remote/index.js";
export type { CustomLoss, CustomLossInput, CustomLossResult, Segments } from "./losses/index.js";
export { openRun } from "./runs/index.js";
export type { Run } from "./runs/index.js";
export {
  BridgeError,
  CallbackError,
  ConfigError,
  DataError,
  EnvironmentError,
  LossError,
  RewardError,
  RunError,
  ThurstoneError,
  WorkerError,
} from "./errors.js";
