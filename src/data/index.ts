/**
 * What leaves the data room: rows, the split, the sampler, and pictures degraded on purpose.
 *
 * @module
 */
export { writeContactSheet, type ContactSheetOptions } from "./contact-sheet.js";
export { writeDegradedSet, type DegradedReference, type DegradedSet, type DegradedSetOptions } from "./degraded-set.js";
export { distort, distortions, type Distortion, type DistortOptions, type RgbImage } from "./distortions/index.js";
export { findPhotos } from "./find-photos.js";
export { expandGlob, isGlob } from "./glob.js";
export { genericPreset, type GenericListOptions } from "./labels/generic-preset.js";
export type { LabelLayout, LabelPreset, LabelRange, NamedPicture, SplitPart } from "./labels/preset.js";
export { formatOf, type TableFormat } from "./labels/table.js";
export { labelPresets } from "./labels/presets.js";
export { readLabels, type Label, type Labels } from "./labels/read-labels.js";
export {
  prepareLabels,
  type PreparedPart,
  type PreparedSet,
  type PrepareLabelsOptions,
} from "./labels/prepare-labels.js";
export type { Normalisation } from "./labels/normalise.js";
export { loadRows, type LoadRowsOptions, type RowSource } from "./load-rows.js";
export { dataError, type DataProblem } from "./problems.js";
export {
  writeQuickstartSet,
  type QuickstartFile,
  type QuickstartPart,
  type QuickstartSet,
  type QuickstartSetOptions,
} from "./quickstart-set.js";
export type { ContentPart, Message, Row } from "./row.js";
export type { RowWithoutPictures } from "./build-row.js";
export type { CurriculumFunction } from "./curriculum.js";
export { indexRows, type IndexRowsOptions, type RowIndex } from "./row-index.js";
export {
  createSampler,
  type SampledBatch,
  type Sampler,
  type SamplerConfig,
  type SamplerOptions,
  type StreamingSampler,
} from "./sampler.js";
export { writeRatingSheet, type RatedPicture, type RatingSheetOptions } from "./rating-sheet.js";
export { ratingQuestion } from "./rating-question.js";
export {
  splitRows,
  splitRowsInThree,
  type Split,
  type SplitRow,
  type SplitOptions,
  type ThreeWaySplit,
  type ThreeWaySplitOptions,
} from "./split.js";
