import { expect, it } from "vitest";
import { planText } from "../../src/cli/plan-text.js";
import { planRun, resolveConfig } from "../../src/config/index.js";
import type { ConfigInput } from "../../src/config/index.js";
import { createSampler } from "../../src/data/index.js";
import { groupedRows } from "../data/orders.js";

/** The lines about data that a dry run of 80 and 16 rows, in groups of 4, prints. */
function dataLines(given: Partial<ConfigInput>): string[] {
  const config = resolveConfig({ model_name_or_path: "m", ...given });
  const groups = (count: number): number[] => Array.from({ length: count }, () => 4);
  const rows = [...groupedRows(groups(20), "large"), ...groupedRows(groups(4), "small")].map((row) => ({
    ...row,
    extra: { hard: 1 },
  }));
  const order = createSampler(rows, config).counts;
  const plan = planRun(config, { order });
  const lines = planText({ config, plan, memory: null });
  const from = lines.indexOf("Data") + 1;
  return lines.slice(from, lines.indexOf("  no rows are held out", from)).map((line) => line.trim());
}

it("says how data sets share the batches", () => {
  expect(dataLines({ dataset_weights: "uniform" })).toEqual([
    "large: 80 rows, 6 batches (0.6 passes)",
    "small: 16 rows, 6 batches (3 passes)",
    "order: shuffled anew for every pass",
    "a batch: rows of one data set",
  ]);
  expect(dataLines({ batch_datasets: "mixed", prompts_per_step: 10, reward_funcs: "format" })).toEqual([
    "large: 80 rows",
    "small: 16 rows",
    "6 rows left over for want of a full batch",
    "order: shuffled anew for every pass",
    "a batch: rows of all data sets as chance has it",
  ]);
  expect(dataLines({ batch_datasets: "mixed", dataset_weights: { large: 3, small: 1 } }).at(-1)).toBe(
    "a batch: rows in the proportion of 3 of large to 1 of small",
  );
});

it("says how groups come into batches", () => {
  expect(dataLines({ batch_groups: "together" }).at(-1)).toBe(
    "a batch: rows of one data set; whole groups, none divided between two batches",
  );
  expect(dataLines({ batch_groups: "apart", prompts_per_step: 3 })).toEqual([
    "large: 80 rows, 26 batches, 2 rows left over for want of a full batch",
    "small: 16 rows, 5 batches, 1 row left over for want of a full batch",
    "order: shuffled anew for every pass",
    "a batch: rows of one data set; no two of one group",
  ]);
});

it("says what the curriculum is, and that rows are read when they are due", () => {
  const lines = dataLines({ curriculum_key: "hard", curriculum_mix: 0.2, curriculum_order: "descending" });
  expect(lines).toContain("order: every pass from the largest to the smallest hard, mixed with a shuffle (0.2)");
  expect(dataLines({ shuffle_dataset: false, dataset_streaming: true }).slice(2)).toEqual([
    "order: as the rows stand in the files",
    "a batch: rows of one data set",
    "rows are read and checked with their pictures when their batch is due",
  ]);
});
