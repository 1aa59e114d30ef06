/**
 * An evaluation as a table, in the manner of papers.
 *
 * @module
 */
import { byEstimator } from "../trainer/index.js";
import type { DatasetResult, EstimatorResult, Evaluation, Ledger, LedgerTerm } from "../trainer/index.js";
import { ledgerReasonLines, reasonLines } from "./reason-lines.js";
import { table } from "./table.js";

const HEADER = [
  "data set",
  "estimator",
  "n",
  "scored",
  "unparsable",
  "out of range",
  "SRCC",
  "95 %",
  "KRCC",
  "PLCC",
  "95 %",
  "pairs",
  "fidelity",
  "by type",
  "PLCC*",
  "RMSE*",
];

/** An interval from fewer groups than this is too narrow more often than it says. */
const FEW_GROUPS = 10;

/** Lines, without a trailing line break. */
export function evaluationText(evaluation: Evaluation): string[] {
  const { results, settings, model, failures } = evaluation;
  const measured = results.flatMap((result) =>
    byEstimator(result).map(([estimator, one]) => ({ dataset: result.dataset, estimator, one })),
  );
  const rows = measured.map(({ dataset, estimator, one }) => [dataset, estimator, ...cells(one)]);
  const { estimators, samples, temperature, expectedAfter, maxCompletionLength, seed, questionTemplate } = settings;
  const sampling = estimators.includes("sampled") ? [`${samples} samples at temperature ${temperature}`] : [];
  const expected = estimators.includes("expected") ? [`expected after ${expectedAfter}`] : [];
  const drawn = results.map(({ dataset, groups, resampled }) => `${dataset} ${groups} ${resampled}`).join(", ");
  return [
    ...table(HEADER, rows),
    "",
    "* fitted on test: after a 4-parameter logistic fitted on the very labels it is tested on; not comparable with raw numbers",
    `95 %: bootstrap over ${drawn}; ${settings.bootstrap} resamples. pairs: share of pairs in the labels' order. by type: mean SRCC within types. out of range: of the answers; the expected score writes none`,
    ...results.filter(({ groups }) => groups < FEW_GROUPS).map(fewGroups),
    `model ${model.name}${model.sha256 === null ? "" : ` (${model.sha256.slice(0, 12)})`}, question ${questionTemplate}, ${[...sampling, ...expected].map((part) => `${part}, `).join("")}${maxCompletionLength} tokens at most, seed ${seed}${settings.blank ? ", every picture replaced by grey" : ""}`,
    ...reasonLines(measured),
    ...failures.map(({ code, message }) => `FAILED ${code}  ${message}`),
  ];
}

/** The split of a gain, one line per data set. */
export function ledgerText({ results, temperatures, chosen, settings, start, model, failures }: Ledger): string[] {
  const header = ["data set", "n", "start", `start at ${chosen}`, "trained", "gain", "= sharpening", "+ reordering"];
  const rows = results.map((one) => [
    one.dataset,
    `${one.scored}/${one.n}`,
    short(one.start),
    short(one.sharpened),
    short(one.trained),
    ...[one.gain, one.sharpening, one.reordering].map(termText),
  ]);
  const grid = temperatures.map(({ temperature, srcc }) => `${temperature}: ${short(srcc)}`).join("  ");
  return [
    ...table(header, rows),
    "",
    `SRCC of the mean of ${settings.samples} sampled answers; ${model.name} against ${start.name}, both sampled at temperature ${settings.temperature}`,
    `start's mean SRCC on the validation data, by temperature: ${grid}`,
    "in brackets: 95 % bootstrap interval of the difference, the same resamples on both sides",
    ...results.flatMap(ledgerReasonLines),
    ...temperatures.flatMap(({ temperature, reason }) =>
      reason === null ? [] : [`no SRCC at temperature ${temperature}, because ${reason}`],
    ),
    ...failures.map(({ of, code, message }) => `FAILED ${code}  ${of}: ${message}`),
  ];
}

function fewGroups({ dataset, groups, resampled }: DatasetResult): string {
  return `note: ${dataset} has only ${groups} ${resampled} to draw from, so its intervals are rough and rather too narrow`;
}

function termText({ difference, interval }: LedgerTerm): string {
  return interval === null
    ? short(difference)
    : `${short(difference)} [${short(interval.low)}, ${short(interval.high)}]`;
}

function cells(one: EstimatorResult): string[] {
  const { fidelity, fitted } = one;
  return [
    String(one.n),
    String(one.scored),
    String(one.unparsable) + (one.imputed > 0 ? ` (${one.imputed} worst)` : ""),
    one.formatRate === null ? "-" : `${one.outOfRange}/${one.responses}`,
    short(one.srcc),
    range(one.srccInterval),
    short(one.krcc),
    short(one.plcc),
    range(one.plccInterval),
    short(one.pairwiseAccuracy),
    fidelity === null ? "-" : `${short(fidelity.mean)} (${short(fidelity.constantAnswer)})`,
    short(one.meanTypeSrcc),
    short(fitted?.plcc ?? null),
    short(fitted?.rmse ?? null),
  ];
}

function short(value: number | null): string {
  return value === null ? "-" : value.toFixed(3).replace(/^(-?)0\./, "$1.");
}

function range(interval: { readonly low: number; readonly high: number } | null): string {
  return interval === null ? "-" : `${short(interval.low)} to ${short(interval.high)}`;
}
