/**
 * The results of `bench/ranking.ts` as Markdown tables.
 *
 * @module
 */
import { bootstrapDifference, mean, standardDeviation } from "../../src/stats/index.js";
import { ESTIMATORS } from "./ranking-results.js";
import type { RankingResult } from "./ranking-results.js";

/** The same results give the same report. */
const REPORT_SEED = 42;

type Estimator = (typeof ESTIMATORS)[number];

/** "zero-2" is of the family "zero". */
export function familyOf(start: string): string {
  return start.replace(/-\d+$/, "");
}

/**
 * One section per family of starts: means over the runs with all single values, then every run with its interval, then what
 * is left with grey pictures where that was measured.
 */
export function reportMarkdown(results: readonly RankingResult[]): string {
  const families = [...new Set(results.map(({ start }) => familyOf(start)))];
  const sections = families.map((family) => {
    const own = results.filter(({ start }) => familyOf(start) === family);
    return [`### Starts ${family}`, "", ...summary(own), "", ...singles(own), ...grey(own)].join("\n");
  });
  return `${sections.join("\n\n")}\n`;
}

function summary(results: readonly RankingResult[]): string[] {
  const conditions = [...new Set(results.map(({ condition }) => condition))];
  return markdown(
    [
      "rewards",
      "runs",
      ...ESTIMATORS.flatMap((name) => [`SRCC ${name}`, "single runs"]),
      "format",
      "seconds",
      "CPU seconds",
    ],
    conditions.map((condition) => {
      const runs = results.filter((result) => result.condition === condition);
      return [
        condition,
        String(runs.length),
        ...ESTIMATORS.flatMap((name) => {
          const values = runs.map(({ evaluation }) => evaluation[name].srcc);
          return [meanText(values), values.map(short).join(" / ")];
        }),
        meanText(runs.map(({ evaluation }) => evaluation.sampled.formatRate)),
        whole(mean(runs.map((run) => run.seconds).filter((value) => value !== null))),
        whole(mean(runs.map((run) => run.cpuSeconds).filter((value) => value !== null))),
      ];
    }),
  );
}

function singles(results: readonly RankingResult[]): string[] {
  return markdown(
    [
      "rewards",
      "start",
      "seed",
      ...ESTIMATORS,
      ...ESTIMATORS.map((name) => `rise, ${name}`),
      "spread",
      "not scored",
      "remarks",
      "steps",
      "seconds",
      "CPU seconds",
    ],
    results.map((result) => [
      ...nameCells(result),
      ...ESTIMATORS.map((name) => withInterval(result.evaluation[name])),
      ...ESTIMATORS.map((name) => riseText(result, results, name)),
      short(result.evaluation.sampled.spread),
      String(result.evaluation.sampled.unscored),
      remarks(result),
      whole(result.steps),
      whole(result.seconds),
      whole(result.cpuSeconds),
    ]),
  );
}

function grey(results: readonly RankingResult[]): string[] {
  const rows = results.flatMap(({ blank, ...result }) =>
    blank === null ? [] : [[...nameCells(result), ...ESTIMATORS.map((name) => withInterval(blank[name]))]],
  );
  if (rows.length === 0) return [];
  return [
    "",
    "With a grey picture in the place of every picture:",
    "",
    ...markdown(["rewards", "start", "seed", ...ESTIMATORS], rows),
  ];
}

function nameCells({ condition, start, seed }: Pick<RankingResult, "condition" | "start" | "seed">): string[] {
  return [condition, start, condition === "start" ? "-" : String(seed)];
}

/** The rise over the start, with the interval of the difference itself: each resample of photographs serves both. */
function riseText(result: RankingResult, all: readonly RankingResult[], estimator: Estimator): string {
  const start = all.find((other) => other.condition === "start" && other.start === result.start);
  if (start === undefined || start === result) return "-";
  const before = start.evaluation[estimator];
  const after = result.evaluation[estimator];
  const both = result.labels
    .map((_, index) => index)
    .filter((index) => hasScore(before, index) && hasScore(after, index));
  const pick = <T>(values: readonly T[]): T[] => both.map((index) => values[index]!);
  const found = bootstrapDifference(
    pick(before.scores) as number[],
    pick(after.scores) as number[],
    pick(result.labels),
    { groups: pick(result.groups), seed: REPORT_SEED },
  );
  return found === null ? "-" : `${short(found.difference)} (${short(found.low)} to ${short(found.high)})`;
}

function hasScore({ scores }: RankingResult["evaluation"][Estimator], index: number): boolean {
  return (scores[index] ?? null) !== null;
}

function remarks({ warmupEnd, collapses, condition }: RankingResult): string {
  return [
    ...(condition === "fidelity_warmup" ? [warmupEnd === null ? "never fidelity" : `fidelity after ${warmupEnd}`] : []),
    ...collapses.map((step) => `collapse told at ${step}`),
  ].join(", ");
}

function withInterval({ srcc, low, high }: RankingResult["evaluation"][Estimator]): string {
  return low === null || high === null ? short(srcc) : `${short(srcc)} (${short(low)} to ${short(high)})`;
}

/** Mean and standard deviation over runs; runs without a value are left out and counted. */
function meanText(values: readonly (number | null)[]): string {
  const known = values.filter((value) => value !== null);
  const deviation = standardDeviation(known);
  const missing = values.length - known.length;
  return [
    short(mean(known)),
    ...(deviation === null ? [] : [`+- ${short(deviation)}`]),
    ...(missing === 0 ? [] : [`(${missing} undefined)`]),
  ].join(" ");
}

/** ".686", "-.034"; "-" for what is not defined. */
function short(value: number | null): string {
  return value === null ? "-" : value.toFixed(3).replace(/^(-?)0\./, "$1.");
}

function whole(value: number | null): string {
  return value === null ? "-" : String(Math.round(value));
}

function markdown(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)];
}
