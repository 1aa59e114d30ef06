/**
 * What leaves the losses room.
 *
 * @module
 */

export type { CustomLoss, CustomLossInput, CustomLossResult, Segments } from "./custom.js";
export { entropyMask, type EntropyMask } from "./entropy-mask.js";
export {
  importanceCorrection,
  logprobDifferences,
  type ImportanceCorrection,
  type ImportanceMode,
  type ImportanceOptions,
} from "./importance.js";
export { klOfCompletions } from "./kl-penalty.js";
export {
  objectiveOf,
  type KlEstimator,
  type LossType,
  type Objective,
  type ObjectiveOptions,
  type PolicyLoss,
  type RatioLevel,
} from "./objectives.js";
export { tape, type Tape, type TapeInput } from "./tape/tape.js";
export type { Operand, Scalar, Vector } from "./tape/nodes.js";
export { tokenWeights, type Normaliser, type TokenWeightOptions } from "./weights.js";
