/**
 * What a finished run prints: where it is, what it reached, what it cost.
 *
 * @module
 */
import { byEstimator } from "../trainer/index.js";
import type { RunResult, StepValues } from "../trainer/index.js";
import { formatNumber, table } from "./table.js";

/** Lines, without a trailing line break. */
export function resultText(result: RunResult<StepValues>): string[] {
  const { metrics, peakMemory } = result;
  return [
    `${result.reason} after step ${result.step} of ${result.steps}`,
    ...metricLines(metrics),
    ...evaluationLines(result),
    ...timeLines(result),
    `peak memory: ${megabytes(peakMemory.node)} this process, ${megabytes(peakMemory.worker)} the worker`,
    `run folder: ${result.folder}`,
    ...modelLines(result),
  ];
}

function timeLines({ secondsPerStep: all, controlSecondsPerStep: own }: RunResult<StepValues>): string[] {
  if (all === 0) return [];
  const share = ((100 * own) / all).toFixed(1);
  return [`${formatNumber(all)} s per step, of which TypeScript alone ${formatNumber(1000 * own)} ms (${share} %)`];
}

function modelLines({ model, modelStep, step }: RunResult<StepValues>): string[] {
  if (model === null) return [];
  const which = modelStep === step ? "" : ` (of step ${modelStep}, the best on held-out pictures)`;
  return [`model:      ${model}${which}`];
}

function metricLines(metrics: StepValues | null): string[] {
  if (metrics === null) return [];
  const { reward, reward_std: spread, loss } = metrics;
  if (reward === undefined) return [`loss ${formatNumber(loss)}`];
  return [`reward ${formatNumber(reward)}, spread within a group ${formatNumber(spread)}`];
}

function evaluationLines({ evaluations }: RunResult<StepValues>): string[] {
  const losses = evaluations.flatMap(({ step, loss }) =>
    loss === undefined ? [] : [[String(step), formatNumber(loss)]],
  );
  const rows = evaluations.flatMap(({ step, results }) =>
    results.flatMap((result) =>
      byEstimator(result).map(([name, one]) => [
        String(step),
        result.dataset,
        name,
        `${one.scored}/${one.n}`,
        formatNumber(one.srcc),
        formatNumber(one.plcc),
        formatNumber(one.formatRate),
        formatNumber(one.spread),
      ]),
    ),
  );
  return [
    ...(losses.length === 0 ? [] : table(["step", "held-out loss"], losses)),
    ...(rows.length === 0
      ? []
      : table(["step", "held out", "estimator", "scored", "srcc", "plcc", "format", "spread"], rows)),
  ];
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
