/**
 * What leaves the advantages room.
 *
 * @module
 */

export { advantagesOf, flatGroups, type AdvantageOptions, type EarnedRewards } from "./estimate.js";
export { gdpoAdvantages, type GdpoOptions } from "./gdpo.js";
export { groupAdvantages, type GroupAdvantageOptions } from "./group.js";
export type { Rewards } from "./known.js";
export { leaveOneOutAdvantages, type LeaveOneOutOptions } from "./leave-one-out.js";
export { passAtKAdvantages, type PassAtKOptions } from "./pass-at-k.js";
export { reinforcePlusPlusAdvantages } from "./reinforce-plus-plus.js";
