/**
 * What a finished run prints: where it is, what it reached, what it cost.
 *
 * @module
 */
import { byEstimator } from "../trainer/index.js";
import type { RunResult } from "../trainer/index.js";
import { formatNumber, table } from "./table.js";

/** Lines, without a trailing line break. */
export function resultText(result: RunResult): string[] {
  const { metrics, secondsPerStep, controlSecondsPerStep, peakMemory } = result;
  const share = secondsPerStep === 0 ? 0 : (100 * controlSecondsPerStep) / secondsPerStep;
  return [
    `${result.reason} after step ${result.step} of ${result.steps}`,
    ...(metrics === null
      ? []
      : [`reward ${formatNumber(metrics.reward)}, spread within a group ${formatNumber(metrics.reward_std)}`]),
    ...evaluationLines(result),
    `${formatNumber(secondsPerStep)} s per step, of which TypeScript alone ${formatNumber(1000 * controlSecondsPerStep)} ms (${share.toFixed(1)} %)`,
    `peak memory: ${megabytes(peakMemory.node)} this process, ${megabytes(peakMemory.worker)} the worker`,
    `run folder: ${result.folder}`,
    ...(result.model === null ? [] : [`model:      ${result.model}`]),
  ];
}

function evaluationLines({ evaluations }: RunResult): string[] {
  if (evaluations.length === 0) return [];
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
  return table(["step", "held out", "estimator", "scored", "srcc", "plcc", "format", "spread"], rows);
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
