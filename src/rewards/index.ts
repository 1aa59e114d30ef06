/**
 * What leaves the rewards room.
 *
 * @module
 */

export { ATTACHMENT_LIMITS, type RewardAttachment, type RewardColumn, type RewardImage } from "./attachments.js";
export { batchSrcc } from "./batch-srcc.js";
export { builtInRewards, ratedGroupsOf, type BuiltInRewardName, type BuiltInRewardOptions } from "./built-in.js";
export type { RewardCalls, Sleep } from "./calls.js";
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
  type RewardResult,
  type RewardScope,
  type RewardValue,
  type RewardVerdict,
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
export {
  distortionReward,
  parseDistortion,
  type DistortionAnswer,
  type DistortionOptions,
  type KnownDistortion,
} from "./distortion.js";
export { formatReward, type FormatOptions } from "./format.js";
export { closeRewards, openRewards } from "./lifetime.js";
export { overlongReward, type OverlongOptions } from "./overlong.js";
export type { ComparedGroup, ComparisonOptions, GroupRewards, RatedGroup, VarianceOptions } from "./pairs.js";
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
export { majorityPreference, voteShare } from "./votes.js";
