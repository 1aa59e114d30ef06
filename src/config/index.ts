/**
 * What leaves the configuration room.
 *
 * @module
 */
export { batchSizes, countBatches, drawsPerEpoch, isDue, sftPassTokens } from "./batch-arithmetic.js";
export type { BatchKeys, BatchSizes } from "./batch-arithmetic.js";
export { readCheckpointSize } from "./checkpoint-size.js";
export type { CheckpointSize } from "./checkpoint-size.js";
export { parseFlags, readFlags } from "./flags.js";
export type { ReadFlags } from "./flags.js";
export { rewardKeys } from "./keys/rewards.js";
export { loadConfig, loadSftConfig, readConfigSources } from "./load.js";
export type { ConfigSources, LoadOptions } from "./load.js";
export { estimateMemory, PART_ACTIVATIONS } from "./memory.js";
export type { MemoryEstimate, MemoryFacts } from "./memory.js";
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
export { computeDtype, defineConfig, readKeys, resolveConfig, resolveSftConfig, trainingStrategy } from "./resolve.js";
export type { ResolveOptions } from "./resolve.js";
export { configSections } from "./schema.js";
export { createSchedule, schedules } from "./schedules.js";
export type { Schedule, ScheduleOptions, ScheduleType } from "./schedules.js";
export type {
  ConfigInput,
  ConfigKey,
  ResolvedConfig,
  ResolvedSftConfig,
  SftConfigInput,
  SharedConfig,
} from "./schema.js";
