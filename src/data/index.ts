/**
 * What leaves the data room: rows, the split, the sampler, and pictures degraded on purpose.
 *
 * @module
 */
export { distort, distortions, type Distortion, type DistortOptions, type RgbImage } from "./distortions/index.js";
export { loadRows, type RowSource } from "./load-rows.js";
export { dataError, type DataProblem } from "./problems.js";
export {
  writeQuickstartSet,
  type QuickstartFile,
  type QuickstartPart,
  type QuickstartSet,
  type QuickstartSetOptions,
} from "./quickstart-set.js";
export type { ContentPart, Message, Row } from "./row.js";
export { createSampler, type SampledBatch, type Sampler, type SamplerConfig } from "./sampler.js";
export { splitRows, type Split, type SplitOptions } from "./split.js";
