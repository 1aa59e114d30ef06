/**
 * What `thurstone sft --dry-run` prints: settings that are not the defaults, batches, steps and memory in words.
 *
 * @module
 */
import { resolveSftConfig, sftPassTokens } from "../config/index.js";
import type { ResolvedSftConfig, RunPlan } from "../config/index.js";
import type { MemoryForecast } from "../trainer/index.js";
import { memoryLines } from "./memory-text.js";
import { orderLines } from "./order-text.js";
import { changedSettings, passText, section, stepLines } from "./plan-text.js";
import { count } from "./table.js";

export interface SftPlanTextOptions {
  readonly config: ResolvedSftConfig;
  readonly plan: RunPlan;
  /** null: the model's shape is not known. */
  readonly memory: MemoryForecast | null;
}

/** Lines, without a trailing line break. */
export function sftPlanText({ config, plan, memory }: SftPlanTextOptions): string[] {
  const tokensPerPart = sftPassTokens(config);
  return [
    ...section("Settings that are not the defaults", changedSettings(config, resolveSftConfig)),
    ...section("Data", data(config, plan)),
    ...section("Batches", batches(config, plan, tokensPerPart)),
    ...section("Steps", [`${count(plan.steps, "step")}, an update each`, ...stepLines(config, plan)]),
    ...section("Memory of a worker, estimated", memoryLines(config.model_name_or_path, memory)),
  ].slice(0, -1);
}

function data(config: ResolvedSftConfig, plan: RunPlan): string[] {
  const { max_seq_length: longest } = config;
  const held = plan.heldOutRows === 0 ? "no rows are held out" : `${count(plan.heldOutRows, "row")} held out`;
  return [
    ...plan.datasets.map(({ name, rows }) => `${name}: ${count(rows, "row")}`),
    ...(plan.leftOver === 0 ? [] : [`${count(plan.leftOver, "row")} left over after the last full update`]),
    ...orderLines(config, plan, "an update"),
    held,
    `an example: ${longest === null ? "as long as the model takes" : `at most ${longest} tokens`}`,
  ];
}

function batches(config: ResolvedSftConfig, plan: RunPlan, tokensPerPart: number | null): string[] {
  const { per_device_train_batch_size: rows, gradient_accumulation_steps: passes, num_processes: ranks } = config;
  const filled = config.packing ? "" : `${count(rows, "answer")} and `;
  return [
    `an update: ${rows} x ${passes}${ranks === 1 ? "" : ` x ${ranks} processes`} = ${count(plan.promptsPerStep, "row")}, every answer of theirs`,
    `a forward and backward pass: ${passText(filled, tokensPerPart)}`,
  ];
}
