/**
 * What leaves the configuration room.
 *
 * @module
 */
export { batchSizes, countBatches, isDue } from "./batch-arithmetic.js";
export type { BatchSizes } from "./batch-arithmetic.js";
export type { ConfigProblem } from "./problems.js";
export { computeDtype, defineConfig, resolveConfig } from "./resolve.js";
export type { ResolveOptions } from "./resolve.js";
export type { ConfigInput, ConfigKey, ResolvedConfig } from "./schema.js";
