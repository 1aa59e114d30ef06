/**
 * What leaves the losses room.
 *
 * @module
 */

export { tokenWeights, type Normaliser, type TokenWeightOptions } from "./weights.js";
