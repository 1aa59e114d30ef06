/**
 * The table a quickstart ends with: before and after, and what it cost.
 *
 * @module
 */
import type { EvaluationSummary, RunResult } from "../trainer/index.js";
import { resultText } from "./result-text.js";
import { formatDuration, formatNumber, table } from "./table.js";

export interface QuickstartOutcome {
  readonly result: RunResult;
  /** The supervised steps before the training. */
  readonly taught: { readonly steps: number; readonly rate: number };
  /** Wall seconds of everything. */
  readonly seconds: number;
}

/** Lines, without a trailing line break. */
export function quickstartText({ result, taught, seconds }: QuickstartOutcome): string[] {
  const before = result.evaluations[0]?.results[0];
  const after = result.evaluations.at(-1)?.results[0];
  const row = (name: string, pick: (one: EvaluationSummary) => number | null): string[] => [
    name,
    formatNumber(before && pick(before)),
    formatNumber(after && pick(after)),
  ];
  return [
    "",
    ...table(
      ["held-out photographs", "before", "after"],
      [
        row("answers of the right layout", (one) => one.formatRate),
        row("pictures with a rating", (one) => one.scored),
        row("srcc (reported only: the small model has not learnt to see)", (one) => one.srcc),
        row("spread of the ratings", (one) => one.spread),
      ],
    ),
    "",
    `the start was taught the layout in ${taught.steps} supervised steps, with scores drawn at random`,
    ...resultText({ ...result, evaluations: [] }),
    `${formatDuration(seconds)} in all`,
    "",
    `look at answers:  npx thurstone runs rollouts ${result.folder} --limit 6`,
    `look at curves:   npx thurstone runs metrics ${result.folder}`,
  ];
}
