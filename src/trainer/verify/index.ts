/**
 * Runs that anyone can check.
 *
 * @module
 */
export { SUBJECTS } from "./comparisons.js";
export type { Difference, Subject } from "./comparisons.js";
export { VERIFY_KEYS } from "./inputs.js";
export type { VerifyKeys } from "./inputs.js";
export { verifyRun } from "./verify.js";
export type { Verification, VerifiedStep, VerifyOptions } from "./verify.js";
