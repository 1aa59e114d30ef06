export { createWorkerPolicy, splitUpdates } from "./worker-policy.js";
export type { PolicySettings, PreparedPrompt, WorkerPolicyOptions } from "./worker-policy.js";
export { planParts, paddedTokens } from "./planner.js";
export type { PlannerOptions } from "./planner.js";
export type { Picture } from "./pictures.js";
export type * from "./types.js";
