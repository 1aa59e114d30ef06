/**
 * Why figures of an evaluation's tables are missing, in as few lines as say it.
 *
 * @module
 */
import type { EstimatorName, EstimatorResult, LedgerResult } from "../trainer/index.js";

/** The estimators of a data set as the table shows them. */
export interface Measured {
  readonly dataset: string;
  readonly estimator: EstimatorName;
  readonly one: EstimatorResult;
}

/** Columns of the table by the metric they show. */
const COLUMNS: Readonly<Record<string, string>> = {
  srcc: "SRCC",
  srccInterval: "interval of SRCC",
  krcc: "KRCC",
  plcc: "PLCC",
  plccInterval: "interval of PLCC",
  pairwiseAccuracy: "pairs",
  fidelity: "fidelity",
  meanTypeSrcc: "SRCC by type",
  fitted: "PLCC* and RMSE*",
};

/** One line per reason; estimators of a data set that lack the same share theirs. */
export function reasonLines(measured: readonly Measured[]): string[] {
  const found = measured.flatMap(({ dataset, estimator, one }) => {
    const metrics = Object.keys(COLUMNS).filter((metric) => one.reasons[metric] !== undefined);
    const missing = byReason(metrics.map((metric) => [COLUMNS[metric]!, one.reasons[metric]!]));
    // Where there is no mean either, that says it.
    const types = one.meanTypeSrcc === null ? [] : one.types.filter(({ reason }) => reason !== null);
    const leftOut = byReason(types.map(({ type, reason }) => [type, reason!]));
    return [
      ...missing.map(([reason, names]) => ({ dataset, estimator, text: `no ${names}, because ${reason}` })),
      ...leftOut.map(([reason, names]) => ({
        dataset,
        estimator,
        text: `SRCC by type leaves out ${names}, because ${reason}`,
      })),
    ];
  });
  const shared = new Map<string, typeof found>();
  for (const one of found) {
    const key = JSON.stringify([one.dataset, one.text]);
    shared.set(key, [...(shared.get(key) ?? []), one]);
  }
  return [...shared.values()].map((same) => {
    const { dataset, text } = same[0]!;
    return `${[dataset, ...same.map(({ estimator }) => estimator)].join(", ")}: ${text}`;
  });
}

/** The same for a ledger. */
export function ledgerReasonLines({ dataset, reasons, gain, sharpening, reordering }: LedgerResult): string[] {
  const terms = Object.entries({ gain, sharpening, reordering }).flatMap(([name, term]) => [
    ...(term.reasons["difference"] === undefined ? [] : [[name, term.reasons["difference"]] as const]),
    ...(term.reasons["interval"] === undefined ? [] : [[`interval of ${name}`, term.reasons["interval"]] as const]),
  ]);
  return byReason([...Object.entries(reasons), ...terms]).map(
    ([reason, names]) => `${dataset}: no ${names}, because ${reason}`,
  );
}

/** @returns reasons with the names that have them, separated by commas */
function byReason(named: readonly (readonly [name: string, reason: string])[]): [string, string][] {
  const groups = new Map<string, string[]>();
  for (const [name, reason] of named) groups.set(reason, [...(groups.get(reason) ?? []), name]);
  return [...groups].map(([reason, names]) => [reason, names.join(", ")]);
}
