/**
 * Evaluation: predictions, metrics, reports, comparisons.
 *
 * @module
 */
export { compareEvaluations, pairedDifference } from "./compare.js";
export type { CompareOptions, EvaluationDifference, Predicted } from "./compare.js";
export { canonicalJson } from "./canonical.js";
export { digestFile } from "./digests.js";
export { digestModel } from "./digests.js";
export type { FileDigest, ModelDigest } from "./digests.js";
export { evaluate } from "./evaluate.js";
export type { Evaluation, EvaluationFailure, EvaluationReport } from "./evaluate.js";
export { evaluateRows, ROWS_PER_CALL } from "./evaluate-rows.js";
export type { EvaluateRowsOptions, RowsEvaluation } from "./evaluate-rows.js";
export { ledger, splitGain } from "./ledger.js";
export type { Ledger, LedgerOptions, LedgerResult, LedgerTemperature, LedgerTerm } from "./ledger.js";
export type { EvaluateOptions, EvaluationSettings } from "./options.js";
export { plotSvg } from "./plot.js";
export { reportOf, writeEvaluation, writeText } from "./report.js";
export { byEstimator } from "./results.js";
export { estimatorColours, svgNumber } from "./svg.js";
export type * from "./results.js";
