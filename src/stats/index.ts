/**
 * What leaves the stats room: pure functions of numbers.
 *
 * @module
 */

export {
  bootstrapDifference,
  bootstrapInterval,
  type BootstrapDifference,
  type BootstrapInterval,
  type BootstrapOptions,
} from "./bootstrap.js";
export { krcc, pairwiseAccuracy, plcc, ranks, srcc } from "./correlation.js";
export { fitLogistic, type LogisticFit, type LogisticParameters } from "./logistic.js";
export { mean, quantile, standardDeviation, variance } from "./moments.js";
export { erfc, normalCdf } from "./normal.js";
export { foldKey, mix64, seedStreams, shuffle, shuffleInPlace, uniform } from "./random.js";
