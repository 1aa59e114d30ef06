/**
 * The policy room: a model behind verbs, whatever works behind them.
 *
 * @module
 */
export { createWorkerPolicy } from "./worker-policy.js";
export type { PolicySettings, PreparedPrompt, WorkerPolicyOptions } from "./worker-policy.js";
export { packedTokens, planParts } from "./planner.js";
export type { PlannerOptions } from "./planner.js";
export { cutIntoUpdates, splitUpdates } from "./updates.js";
export type * from "./types.js";
export { joinInt32, split, textTensors } from "./wire.js";
