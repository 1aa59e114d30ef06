/**
 * The table a quickstart ends with: before and after, and what it cost.
 *
 * @module
 */
import type { ResolvedConfig } from "../config/index.js";
import type { MetricsRecord } from "../runs/index.js";
import { mean } from "../stats/index.js";
import { byEstimator } from "../trainer/index.js";
import type { EstimatorName, EstimatorResult, RunResult } from "../trainer/index.js";
import { resultText } from "./result-text.js";
import { formatDuration, formatNumber, table } from "./table.js";

/** What one estimator said of the unseen photographs; null where that evaluation was not made. */
export interface EstimatorRise {
  readonly estimator: EstimatorName;
  readonly before: EstimatorResult | null;
  readonly after: EstimatorResult | null;
}

export interface QuickstartOutcome {
  readonly config: Pick<
    ResolvedConfig,
    "eval_data_file_paths" | "question_template" | "max_completion_length" | "eval_samples"
  >;
  readonly result: RunResult;
  /** Metrics of all steps. */
  readonly metrics: readonly MetricsRecord[];
  readonly rise: readonly EstimatorRise[];
  /** File of the curves. */
  readonly plot: string;
  /** Wall seconds of everything. */
  readonly seconds: number;
}

/** Steps averaged at either end. */
const ENDS = 5;
/** Columns of the curve in the terminal. */
const COLUMNS = 60;
const BARS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;

/** The first and the last evaluation of a run with one data set, by estimator. */
export function riseOf(evaluations: RunResult["evaluations"]): EstimatorRise[] {
  const [first, last] = [evaluations[0], evaluations.length > 1 ? evaluations.at(-1) : undefined];
  const measured = (evaluation: typeof first): Map<EstimatorName, EstimatorResult> =>
    new Map((evaluation?.results ?? []).slice(0, 1).flatMap(byEstimator));
  const [before, after] = [measured(first), measured(last)];
  return [...before.keys()].map((estimator) => ({
    estimator,
    before: before.get(estimator) ?? null,
    after: after.get(estimator) ?? null,
  }));
}

/** Lines, without a trailing line break. */
export function quickstartText({ config, result, metrics, rise, plot, seconds }: QuickstartOutcome): string[] {
  const trained = (name: string, metric: string): string[] => {
    const values = valuesOf(metrics, metric);
    return [name, formatNumber(mean(values.slice(0, ENDS))), formatNumber(mean(values.slice(-ENDS)))];
  };
  const correlation = valuesOf(metrics, "batch_srcc");
  const sampled = rise.find(({ estimator }) => estimator === "sampled");
  return [
    "",
    ...table(
      ["", "before", "after"],
      [
        ...rise.map(({ estimator, before, after }) => [
          `SRCC on unseen photographs, ${estimator}`,
          withInterval(before),
          withInterval(after),
        ]),
        [
          "answers of the right layout there",
          formatNumber(sampled?.before?.formatRate),
          formatNumber(sampled?.after?.formatRate),
        ],
        trained(`reward, first and last ${ENDS} steps`, "reward"),
        trained("spread of the reward within a group", "reward_std"),
      ],
    ),
    "",
    `SRCC within the batch, step 1 to ${result.step}, from ${formatNumber(mean(correlation.slice(0, ENDS)))} to ${formatNumber(mean(correlation.slice(-ENDS)))}:`,
    sparkline(correlation, COLUMNS),
    "",
    "Before, the scores meant nothing: the start was taught to see by supervision, but never a true score. What it",
    "learnt here it learnt from which of two pictures is better. Labels are KADID-10k's means by kind and level; nobody",
    "judged these very pictures.",
    "",
    ...resultText({ ...result, evaluations: [] }),
    `${formatDuration(seconds)} in all`,
    "",
    `look at the curves:  ${plot}`,
    `look at answers:     npx thurstone runs rollouts ${result.folder} --limit 6`,
    ...(result.model === null ? [] : [`evaluate it anew:    ${evalCommand(config, result.model)}`]),
  ];
}

/** The command that gives the last evaluation's figures again. */
function evalCommand(config: QuickstartOutcome["config"], model: string): string {
  const { eval_data_file_paths: data, question_template: question, max_completion_length: tokens } = config;
  const asked = `--question-template ${JSON.stringify(question)} --max-completion-length ${tokens}`;
  return `npx thurstone eval --model ${model} --data ${data.join(" ")} ${asked} --samples ${config.eval_samples}`;
}

/** Values of one metric in the order of the steps, without those that are not defined. */
export function valuesOf(metrics: readonly MetricsRecord[], name: string): number[] {
  return metrics.map((record) => record.values[name]).filter((value) => typeof value === "number");
}

/** A curve of block characters, from 0 (lowest) to 1; each column is the mean of its share of the values. */
export function sparkline(values: readonly number[], columns: number): string {
  const count = Math.min(columns, values.length);
  return Array.from({ length: count }, (_, column) => {
    const from = Math.floor((column * values.length) / count);
    const value = mean(values.slice(from, Math.floor(((column + 1) * values.length) / count))) ?? 0;
    return BARS[Math.min(BARS.length - 1, Math.max(0, Math.floor(value * BARS.length)))]!;
  }).join("");
}

function withInterval(one: EstimatorResult | null): string {
  if (one === null || one.srcc === null) return "-";
  const interval = one.srccInterval;
  return `${one.srcc.toFixed(3)}${interval === null ? "" : ` [${interval.low.toFixed(2)}, ${interval.high.toFixed(2)}]`}`;
}
