/**
 * Recorded completions scored again, without a worker.
 *
 * @module
 */
export type { Change, ReplayCounts, ReplayedCompletion } from "./compare.js";
export { REPLAY_KEYS } from "./input.js";
export type { ReplayKeys } from "./input.js";
export { replayFields } from "./record.js";
export { replayRewards } from "./replay.js";
export type { ReplayedStep, ReplayRewardsOptions, RewardReplay } from "./replay.js";
