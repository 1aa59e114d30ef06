/**
 * What leaves the data room: rows, the split, and the sampler.
 *
 * @module
 */
export { loadRows, type RowSource } from "./load-rows.js";
export type { DataProblem } from "./problems.js";
export type { ContentPart, Message, Row } from "./row.js";
export { createSampler, type SampledBatch, type Sampler, type SamplerConfig } from "./sampler.js";
export { splitRows, type Split, type SplitOptions } from "./split.js";
