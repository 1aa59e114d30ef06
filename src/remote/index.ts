/**
 * Rewards that are computed elsewhere: over HTTP. The only place in which a reward of this package does input or output.
 *
 * @module
 */
export { readHeaders, type HeaderSource } from "./headers.js";
export { httpReward, type HttpRewardOptions } from "./http-reward.js";
export { isTransient, postJson, type PostJsonOptions } from "./post-json.js";
