/**
 * The table a quickstart ends with: before and after, and what it cost.
 *
 * @module
 */
import type { MetricsRecord } from "../runs/index.js";
import { mean } from "../stats/index.js";
import { byEstimator } from "../trainer/index.js";
import type { EstimatorResult, RunResult } from "../trainer/index.js";
import { resultText } from "./result-text.js";
import { formatDuration, formatNumber, table } from "./table.js";

export interface QuickstartOutcome {
  readonly result: RunResult;
  /** Metrics of all steps. */
  readonly metrics: readonly MetricsRecord[];
  /** The supervised steps before the training. */
  readonly taught: { readonly steps: number; readonly rate: number };
  /** Wall seconds of everything. */
  readonly seconds: number;
}

/** Steps averaged at either end. */
const ENDS = 5;

/** Lines, without a trailing line break. */
export function quickstartText({ result, metrics, taught, seconds }: QuickstartOutcome): string[] {
  const heldOut = (name: string, pick: (one: EstimatorResult) => number | null): string[] => [
    name,
    ...[result.evaluations[0], result.evaluations.at(-1)].map((evaluation) => {
      const [first] = (evaluation?.results ?? []).flatMap(byEstimator);
      return formatNumber(first && pick(first[1]));
    }),
  ];
  const trained = (name: string, metric: string): string[] => {
    const values = metrics.map((record) => record.values[metric]).filter((value) => typeof value === "number");
    return [name, formatNumber(mean(values.slice(0, ENDS))), formatNumber(mean(values.slice(-ENDS)))];
  };
  return [
    "",
    ...table(
      ["", "before", "after"],
      [
        trained(`reward, first and last ${ENDS} steps`, "reward"),
        trained("spread of the reward within a group", "reward_std"),
        trained("answers of the right layout", "rewards/format/mean"),
        heldOut("held-out photographs: answers of the right layout", (one) => one.formatRate),
        heldOut("held-out photographs: pictures with a rating", (one) => one.scored),
        heldOut("held-out photographs: srcc (only reported)", (one) => one.srcc),
      ],
    ),
    "",
    "srcc stays near 0: this start was never taught to see, only to answer",
    `the start was taught the layout in ${taught.steps} supervised steps, with scores drawn at random`,
    ...resultText({ ...result, evaluations: [] }),
    `${formatDuration(seconds)} in all`,
    "",
    `look at answers:  npx thurstone runs rollouts ${result.folder} --limit 6`,
    `look at curves:   npx thurstone runs metrics ${result.folder}`,
  ];
}
