/**
 * What leaves the configuration room.
 *
 * @module
 */
export {
  batchSizes,
  countBatches,
  drawsPerEpoch,
  isDue,
  sftPassTokens,
  updateInWords,
  updateSize,
} from "./batch-arithmetic.js";
export type { BatchKeys, BatchSizes } from "./batch-arithmetic.js";
export { acceptDeepSpeed, deepSpeedSpread, parseDeepSpeed, readDeepSpeed } from "./deepspeed.js";
export type { DeepSpeedSettings } from "./deepspeed-paths.js";
export { parseFlags, readFlags } from "./flags.js";
export type { ReadFlags } from "./flags.js";
export { rewardKeys } from "./keys/rewards.js";
export { loadConfig, loadSftConfig, readConfigSources } from "./load.js";
export type { ConfigSources, LoadOptions } from "./load.js";
export { readArchitecture, releasedArchitecture } from "./memory/architecture.js";
export type { Architecture } from "./memory/architecture.js";
export { chooseGeneration, planMemory, sum } from "./memory/memory-plan.js";
export type { MemoryPlan, MemoryStage } from "./memory/memory-plan.js";
export { readModelFiles } from "./memory/model-files.js";
export type { ModelFiles } from "./memory/model-files.js";
export { isSharded, MEMORY_PARTS } from "./memory/options.js";
export type { MemoryOptions, MemoryParts } from "./memory/options.js";
export { countAdapter, countParameters } from "./memory/parameters.js";
export { PART_ACTIVATIONS, sampledBatches } from "./memory/passes.js";
export type { Workload } from "./memory/passes.js";
export type { Remedy } from "./memory/remedies.js";
export { forecastRun } from "./memory/run-forecast.js";
export type { PlannedRun, RunForecast } from "./memory/run-forecast.js";
export { NOTHING_OFFLOADED } from "./memory/storage.js";
export { sftWorkload, trainWorkload } from "./memory/workload.js";
export type { PromptSizes, RowCounts } from "./memory/workload.js";
export { nearestName } from "./nearest.js";
export { planRun } from "./plan.js";
export { orderContradiction } from "./order-contradiction.js";
export type { OrderKeys } from "./order-contradiction.js";
export type { DatasetPlan, OrderCounts, PlanKeys, RunFacts, RunPlan } from "./plan.js";
export type { ConfigProblem } from "./problems.js";
export { pythonRewardNames } from "./python-reward.js";
export { unreadKeys } from "./reward-readers.js";
export type { PythonRewardName } from "./python-reward.js";
export { flagHelp, jsonSchema } from "./reference.js";
export { defineConfig, readKeys, resolveConfig, resolveSftConfig } from "./resolve.js";
export type { ResolveOptions } from "./resolve.js";
export { savesBesideTraining } from "./saving.js";
export { configSections } from "./schema.js";
export { createSchedule, schedules } from "./schedules.js";
export { computeDtype, trainingStrategy } from "./training.js";
export type { Schedule, ScheduleOptions, ScheduleType } from "./schedules.js";
export type {
  ConfigInput,
  ConfigKey,
  ResolvedConfig,
  ResolvedSftConfig,
  SftConfigInput,
  SharedConfig,
} from "./schema.js";
