/**
 * What leaves the rewards room.
 *
 * @module
 */

export { batchSrcc } from "./batch-srcc.js";
export { builtInRewards, ratedGroupsOf, type BuiltInRewardName, type BuiltInRewardOptions } from "./built-in.js";
export {
  checkRewards,
  combineRewards,
  type RewardList,
  type RewardRecord,
  type RewardSet,
  type WeightedReward,
} from "./combine.js";
export {
  defineReward,
  isReward,
  type Reward,
  type RewardCompletion,
  type RewardDefinition,
  type RewardScope,
  type RewardValue,
  type ScoreBatchContext,
  type ScoreContext,
  type ScoreGroupContext,
} from "./define.js";
export {
  advanceFidelityWarmup,
  createFidelityWarmup,
  fidelitySurplus,
  fidelityWarmupDefaults,
  withFidelityWarmup,
  type FidelityWarmup,
  type FidelityWarmupOptions,
  type WarmupBatch,
} from "./fidelity-warmup.js";
export { formatReward, type FormatOptions } from "./format.js";
export { overlongReward, type OverlongOptions } from "./overlong.js";
export type { ComparisonOptions, GroupRewards, RatedGroup, VarianceOptions } from "./pairs.js";
export { parseScore, SCORE_RANGE, type ParsedScore, type ParseOptions, type ParseStatus } from "./parse.js";
export {
  binary,
  constantAnswerReward,
  fidelity,
  margin,
  winProbability,
  type FidelityOptions,
  type ProbabilityOptions,
} from "./ranking.js";
export { regression, threshold, type ThresholdOptions } from "./rating.js";
export { referenceQuirks } from "./reference-quirks.js";
export { findRowProblems, type RowProblem } from "./rows.js";
export type { UnreadableOptions } from "./unreadable.js";
export { scoreRewards, type RewardGroup, type ScoredRewards, type ScoreRewardsOptions } from "./score.js";
