/**
 * What `thurstone train --dry-run` prints: settings that are not the defaults, batches, steps and memory in words.
 *
 * @module
 */
import { resolveConfig, trainingStrategy } from "../config/index.js";
import type { ResolvedConfig, RunPlan, SharedConfig } from "../config/index.js";
import type { MemoryForecast } from "../trainer/index.js";
import { memoryLines } from "./memory-text.js";
import { orderLines, passesText } from "./order-text.js";
import { count, formatNumber } from "./table.js";

export interface PlanTextOptions {
  readonly config: ResolvedConfig;
  readonly plan: RunPlan;
  /** null: the model's shape is not known. */
  readonly memory: MemoryForecast | null;
}

/** Lines, without a trailing line break. */
export function planText({ config, plan, memory }: PlanTextOptions): string[] {
  return [
    ...section("Settings that are not the defaults", changedSettings(config, resolveConfig)),
    ...section("Data", data(config, plan)),
    ...section("Batches", batches(config, plan)),
    ...section("Steps", steps(config, plan)),
    ...section("Memory of a worker, estimated", memoryLines(config.model_name_or_path, memory)),
  ].slice(0, -1);
}

/** A title and its lines, indented, with an empty line behind them. */
export function section(title: string, lines: readonly string[]): string[] {
  return [title, ...lines.map((line) => `  ${line}`), ""];
}

/** Keys of a resolved configuration whose values differ from those of the least one. */
export function changedSettings<Config extends object>(
  config: Config,
  resolve: (input: { model_name_or_path: string }) => Config,
): string[] {
  const defaults = resolve({ model_name_or_path: "-" });
  const changed = Object.entries(config).filter(
    ([key, value]) => JSON.stringify(value) !== JSON.stringify(defaults[key as keyof Config]),
  );
  const width = Math.max(...changed.map(([key]) => key.length));
  return changed.map(([key, value]) => `${key.padEnd(width)}  ${JSON.stringify(value)}`);
}

function data(config: ResolvedConfig, plan: RunPlan): string[] {
  const sets = plan.datasets.map((dataset) => {
    const { name, rows, rollouts, leftOver } = dataset;
    const used =
      rollouts === null ? "" : `, ${count(rollouts, "batch", "batches")}${passesText(dataset, config, plan)}`;
    const unused = leftOver === 0 ? "" : `, ${count(leftOver, "row")} left over for want of a full batch`;
    return `${name}: ${count(rows, "row")}${used}${unused}`;
  });
  const mixed = plan.datasets.reduce((total, { leftOver }) => total - leftOver, plan.leftOver);
  const held = plan.heldOutRows === 0 ? "no rows are held out" : `${count(plan.heldOutRows, "row")} held out`;
  const prompt =
    config.max_prompt_length === null ? "as long as the model takes" : `at most ${config.max_prompt_length} tokens`;
  return [
    ...sets,
    ...(mixed === 0 ? [] : [`${count(mixed, "row")} left over for want of a full batch`]),
    ...orderLines(config, plan, "a batch"),
    held,
    `prompts: ${prompt}; completions: at most ${config.max_completion_length} tokens`,
  ];
}

function batches(config: ResolvedConfig, plan: RunPlan): string[] {
  const { promptsPerStep, completionsPerRollout, completionsPerUpdate, updatesPerRollout } = plan;
  const passes = completionsPerRollout / completionsPerUpdate;
  const limit = config.per_device_train_batch_size;
  const rows = limit === null ? "" : `${count(limit, "completion")} and `;
  return [
    `a rollout batch: ${count(promptsPerStep, "prompt")} x ${config.num_generations} completions = ${count(completionsPerRollout, "completion")}`,
    `an update: ${count(completionsPerUpdate, "completion")}`,
    `updates per rollout batch: ${config.num_iterations} (num_iterations) x ${passes} = ${updatesPerRollout}`,
    `a forward and backward pass: ${passText(rows, config.max_tokens_per_part)}`,
    ...(config.num_processes === 1
      ? []
      : [`processes: ${config.num_processes}, ${trainingStrategy(config)}; whole prompts each, as even as can be`]),
  ];
}

/** How much goes into a pass; `rows` is what else bounds it, with "and". */
export function passText(rows: string, tokens: number | null): string {
  if (tokens !== null) return `at most ${rows}${count(tokens, "token")}, each prompt once`;
  return `${rows === "" ? "" : `at most ${rows}`}about 256 MiB of activations, whole groups`;
}

function steps(config: ResolvedConfig, plan: RunPlan): string[] {
  return [
    `${count(plan.steps, "step")} = ${count(plan.rollouts, "rollout batch", "rollout batches")} x ${plan.updatesPerRollout}`,
    ...stepLines(config, plan),
  ];
}

/** What happens over the steps of any run. */
export function stepLines(config: SharedConfig, plan: RunPlan): string[] {
  const why = config.max_steps > 0 ? "max_steps" : "num_train_epochs";
  const warmup = plan.warmupSteps === 0 ? "no warm-up" : `warm-up over ${count(plan.warmupSteps, "step")}`;
  const rates = `${rateText(plan.firstLearningRate)} at step 1, ${rateText(plan.lastLearningRate)} at step ${plan.steps}`;
  return [
    `${formatNumber(plan.epochs)} passes over ${count(plan.rows, "row")} (${why})`,
    `learning rate: ${config.lr_scheduler_type}, ${warmup}, ${rates}`,
    `checkpoints after step ${list(plan.saveSteps)}`,
    ...(plan.heldOutRows === 0 ? [] : [`evaluation before step 1 and after step ${list(plan.evalSteps)}`]),
  ];
}

/** "1e-6", "4.81e-9", "0". */
function rateText(rate: number): string {
  return rate === 0 ? "0" : Number(rate.toPrecision(3)).toExponential();
}

/** "50, 100, ... 7650, 7656 (154 in all)". */
function list(numbers: readonly number[]): string {
  if (numbers.length <= 4) return numbers.join(", ");
  return `${numbers.slice(0, 2).join(", ")}, ... ${numbers.slice(-2).join(", ")} (${numbers.length} in all)`;
}
