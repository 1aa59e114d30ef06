/**
 * The order of the data in words, as `--dry-run` prints it.
 *
 * @module
 */
import type { DatasetPlan, RunPlan, SharedConfig } from "../config/index.js";
import { formatNumber } from "./table.js";

const GROUPS = {
  any: null,
  one: "all of one group",
  together: "whole groups, none divided between two batches",
  apart: "no two of one group",
} as const satisfies Record<SharedConfig["batch_groups"], string | null>;

/** @param batch what a batch is called: "a batch", "an update" */
export function orderLines(config: SharedConfig, plan: RunPlan, batch: string): string[] {
  return [
    `order: ${passInWords(config)}`,
    ...(plan.datasets.length > 1 || config.batch_groups !== "any" ? [`${batch}: ${batchInWords(config, plan)}`] : []),
    ...(config.dataset_streaming ? ["rows are read and checked with their pictures when their batch is due"] : []),
  ];
}

function passInWords({
  curriculum_key: key,
  curriculum_order,
  curriculum_mix: mix,
  shuffle_dataset,
}: SharedConfig): string {
  if (key === null) return shuffle_dataset ? "shuffled anew for every pass" : "as the rows stand in the files";
  const [from, to] = curriculum_order === "ascending" ? ["smallest", "largest"] : ["largest", "smallest"];
  return `every pass from the ${from} to the ${to} ${key}${mix === 0 ? "" : `, mixed with a shuffle (${mix})`}`;
}

function batchInWords(config: SharedConfig, plan: RunPlan): string {
  const groups = GROUPS[config.batch_groups];
  return [...(plan.datasets.length > 1 ? [datasetsInWords(config)] : []), ...(groups === null ? [] : [groups])].join(
    "; ",
  );
}

function datasetsInWords({ batch_datasets, dataset_weights: weights }: SharedConfig): string {
  if (batch_datasets === "one") return "rows of one data set";
  if (weights === "proportional") return "rows of all data sets as chance has it";
  if (weights === "uniform") return "as many rows of each data set";
  const shares = Object.entries(weights).map(([name, weight]) => `${weight} of ${name}`);
  return `rows in the proportion of ${shares.join(" to ")}`;
}

/** ", 0.47 passes" where an epoch is not one pass over the data set; otherwise nothing. */
export function passesText({ rows, rollouts }: DatasetPlan, config: SharedConfig, plan: RunPlan): string {
  if (config.dataset_weights === "proportional" || rollouts === null) return "";
  return ` (${formatNumber((rollouts * plan.promptsPerStep) / rows)} passes)`;
}
