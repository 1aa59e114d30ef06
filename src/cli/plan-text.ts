/**
 * What `thurstone train --dry-run` prints: settings that are not the defaults, batches, steps and memory in words.
 *
 * @module
 */
import { computeDtype, estimateMemory, resolveConfig, trainingStrategy } from "../config/index.js";
import type { CheckpointSize, ResolvedConfig, RunPlan, SharedConfig } from "../config/index.js";
import { orderLines, passesText } from "./order-text.js";
import { formatNumber } from "./table.js";

export interface PlanTextOptions {
  readonly config: ResolvedConfig;
  readonly plan: RunPlan;
  /** Size of the checkpoint; null when it is not on this disk. */
  readonly checkpoint: CheckpointSize | null;
}

/** Lines, without a trailing line break. */
export function planText(options: PlanTextOptions): string[] {
  const { config, plan } = options;
  return [
    ...section("Settings that are not the defaults", changedSettings(config, resolveConfig)),
    ...section("Data", data(config, plan)),
    ...section("Batches", batches(config, plan)),
    ...section("Steps", steps(config, plan)),
    ...section("Memory of the worker, estimated", memoryLines(memoryOptions(options))),
  ].slice(0, -1);
}

/** A title and its lines, indented, with an empty line behind them. */
export function section(title: string, lines: readonly string[]): string[] {
  return [title, ...lines.map((line) => `  ${line}`), ""];
}

/** "1 row", "8 rows". */
export function count(value: number, noun: string, plural = `${noun}s`): string {
  return `${value} ${value === 1 ? noun : plural}`;
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

function memoryOptions({ config, checkpoint }: PlanTextOptions): MemoryLinesOptions {
  return { config, checkpoint, reference: config.beta > 0, tokensPerPart: config.max_tokens_per_part };
}

/** What the memory of a worker is estimated from. */
export interface MemoryLinesOptions {
  readonly config: SharedConfig;
  readonly checkpoint: CheckpointSize | null;
  /** Whether a frozen copy is kept. */
  readonly reference: boolean;
  /** Padded tokens of a pass at most. */
  readonly tokensPerPart: number | null;
}

/** The estimate in lines. */
export function memoryLines({ config, checkpoint, reference: kept, tokensPerPart }: MemoryLinesOptions): string[] {
  if (checkpoint === null) {
    return [`unknown: ${config.model_name_or_path} is no folder with safetensors files here`];
  }
  const { parameters, visionParameters, shape } = checkpoint;
  const dtype = computeDtype(config) === "bfloat16" ? "bfloat16" : "float32";
  const baseBytes = config.load_in_4bit ? 0.5 : dtype === "bfloat16" ? 2 : 4;
  const estimate = estimateMemory({
    parameters,
    trainable: config.freeze_vision_modules ? parameters - visionParameters : parameters,
    ...(config.use_peft && { adapter: { parameters: adapterParameters(config, checkpoint), baseBytes } }),
    reference: kept,
    dtype,
    shape,
    tokensPerPart,
    gradientCheckpointing: config.gradient_checkpointing,
  });
  const { weights, castWeights, gradients, optimizer, reference, activations, total } = estimate;
  const parts: readonly (readonly [string, number | null])[] = [
    [config.use_peft ? "weights and adapter" : "weights, float32", weights],
    ["weights, cast for computation", castWeights],
    ["gradients", gradients],
    ["optimizer", optimizer],
    ["reference model", reference],
    [`activations of a pass${tokensPerPart === null ? "" : ` of ${tokensPerPart} tokens`}`, activations],
  ];
  return [
    `${count(parameters, "parameter")}, computed in ${dtype}`,
    ...parts.filter(([, bytes]) => bytes !== 0).map(([name, bytes]) => `${bytesText(bytes)}  ${name}`),
    `${bytesText(total)}  in all, without logits, sampling cache and overhead of the libraries`,
  ];
}

/** The worker's, where the configuration leaves the rank to it. */
const DEFAULT_RANK = 16;

function adapterParameters(
  { lora_r, lora_target_modules: targets }: SharedConfig,
  { linears }: CheckpointSize,
): number {
  const names = targets?.map((name) => name.split(".").at(-1)!) ?? [];
  const all = names.length === 0 || names.includes("all-linear");
  const adapted = Object.entries(linears).filter(([name]) => all || names.includes(name));
  return adapted.reduce((total, [, ends]) => total + (lora_r ?? DEFAULT_RANK) * ends, 0);
}

function bytesText(bytes: number | null): string {
  if (bytes === null) return "   unknown";
  const units = ["B", "KiB", "MiB", "GiB"] as const;
  const power = bytes < 1024 ? 0 : Math.min(3, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1).padStart(6)} ${units[power]!.padEnd(3)}`;
}
