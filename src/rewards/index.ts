/**
 * What leaves the rewards room.
 *
 * @module
 */

export { formatReward, type FormatOptions } from "./format.js";
export { parseScore, SCORE_RANGE, type ParsedScore, type ParseOptions, type ParseStatus } from "./parse.js";
