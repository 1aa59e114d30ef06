/**
 * DeepSpeed's own file (`deepspeed: configs/zero3.json`): read, and held against the configuration.
 *
 * Where both speak of the same thing they must agree, and "auto" stands for what the configuration says, as with Hugging
 * Face's Trainer. What only DeepSpeed knows is passed on as it is; what it does not know is an error.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { ConfigError } from "../errors.js";
import type { Offload } from "./memory/storage.js";
import type { SharedConfig } from "./schema.js";
import { foreignNames } from "./deepspeed-names.js";
import { at, AUTO, settingsOf, settingsSchema } from "./deepspeed-paths.js";
import type { DeepSpeedSettings } from "./deepspeed-paths.js";
import { wrongValues } from "./deepspeed-values.js";
import { computeDtype } from "./training.js";

/** The keys that DeepSpeed has names of its own for. */
export type DeepSpeedKeys = Pick<
  SharedConfig,
  | "learning_rate"
  | "adam_beta1"
  | "adam_beta2"
  | "adam_epsilon"
  | "weight_decay"
  | "max_grad_norm"
  | "per_device_train_batch_size"
  | "gradient_accumulation_steps"
  | "num_processes"
  | "torch_dtype"
  | "bf16"
  | "ds3_gather_for_generation"
>;

/** What the worker sets itself: its optimizer, the learning rate of each step, the parts that make up an update. */
const OWN_SECTIONS: readonly string[] = [
  "optimizer",
  "scheduler",
  "fp16",
  "gradient_clipping",
  "gradient_accumulation_steps",
  "train_batch_size",
  "train_micro_batch_size_per_gpu",
];

/** "auto" of these depends on the model or its device, which only the worker knows. */
const LEFT_TO_WORKER: readonly string[] = [
  "bf16.enabled",
  "zero_optimization.reduce_bucket_size",
  "zero_optimization.stage3_prefetch_bucket_size",
  "zero_optimization.stage3_param_persistence_threshold",
];

/**
 * @param file relative to the current directory
 * @returns what goes to the worker: without the sections that it sets itself
 * @throws ConfigError CONFIG_DEEPSPEED with everything that is wrong in `fields.problems`
 */
export async function readDeepSpeed(file: string, config: DeepSpeedKeys): Promise<DeepSpeedSettings> {
  const settings = await parseDeepSpeed(file);
  acceptDeepSpeed(file, settings, config);
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !OWN_SECTIONS.includes(name)));
}

/**
 * What a file says, whether or not it goes with a configuration.
 *
 * @throws ConfigError CONFIG_DEEPSPEED for a file that is no map of settings
 */
export async function parseDeepSpeed(file: string): Promise<DeepSpeedSettings> {
  try {
    return settingsSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? "it is no map of settings" : String(cause);
    throw failure(file, [`it cannot be read as DeepSpeed's JSON: ${reason}`], cause);
  }
}

/** @throws ConfigError CONFIG_DEEPSPEED where what a file says does not go with a configuration */
export function acceptDeepSpeed(file: string, settings: DeepSpeedSettings, config: DeepSpeedKeys): void {
  const problems = [
    ...foreignNames(settings),
    ...wrongValues(settings),
    ...contradictions(settings, config),
    ...refusals(settings, config),
    ...openValues(settings),
  ];
  if (problems.length > 0) throw failure(file, problems);
}

/** How the settings spread a model, in the words of the memory plan. */
export function deepSpeedSpread(settings: DeepSpeedSettings): { strategy: "zero2" | "zero3"; offload: Offload } {
  const onCpu = (name: string): boolean => at(settings, `zero_optimization.${name}.device`) === "cpu";
  return {
    strategy: at(settings, "zero_optimization.stage") === 2 ? "zero2" : "zero3",
    offload: { optimizer: onCpu("offload_optimizer"), weights: onCpu("offload_param") },
  };
}

function failure(file: string, problems: readonly string[], cause?: unknown): ConfigError {
  return new ConfigError("CONFIG_DEEPSPEED", `deepspeed: ${file}: ${problems.join("; ")}`, {
    cause,
    fields: { file, problems },
  });
}

/** Numbers that the configuration has as well, and what it has there. */
function contradictions(settings: DeepSpeedSettings, config: DeepSpeedKeys): string[] {
  const { per_device_train_batch_size: rows, gradient_accumulation_steps: passes, num_processes: ranks } = config;
  const same: readonly (readonly [path: string, key: string, value: unknown])[] = [
    ["optimizer.params.lr", "learning_rate", config.learning_rate],
    ["optimizer.params.betas", "[adam_beta1, adam_beta2]", [config.adam_beta1, config.adam_beta2]],
    ["optimizer.params.eps", "adam_epsilon", config.adam_epsilon],
    ["optimizer.params.weight_decay", "weight_decay", config.weight_decay],
    ["gradient_clipping", "max_grad_norm", config.max_grad_norm ?? 0],
    ["gradient_accumulation_steps", "gradient_accumulation_steps", passes],
    ["train_micro_batch_size_per_gpu", "per_device_train_batch_size", rows],
    [
      "train_batch_size",
      "per_device_train_batch_size x gradient_accumulation_steps x num_processes",
      rows === null ? null : rows * passes * ranks,
    ],
  ];
  return same.flatMap(([path, key, value]) => {
    const found = at(settings, path);
    if (found === undefined || found === AUTO || JSON.stringify(found) === JSON.stringify(value)) return [];
    const said = value === null ? "not set" : JSON.stringify(value);
    return [`${path} is ${JSON.stringify(found)}, and ${key} is ${said}; write "auto", or make them agree`];
  });
}

/** What would not do what it says. */
function refusals(settings: DeepSpeedSettings, config: DeepSpeedKeys): string[] {
  const stage = at(settings, "zero_optimization.stage");
  const type = at(settings, "optimizer.type");
  const bf16 = at(settings, "bf16.enabled");
  const on = (path: string): boolean => at(settings, path) === true;
  return [
    stage === 2 || stage === 3
      ? null
      : `zero_optimization.stage is ${JSON.stringify(stage) ?? "missing"}; it must be 2 or 3 (for less there is strategy "ddp")`,
    stage === 2 && config.ds3_gather_for_generation === false
      ? "zero_optimization.stage is 2, which leaves all weights at each rank, and ds3_gather_for_generation is false: there is nothing to gather; remove it, or use stage 3"
      : null,
    type === undefined || type === "AdamW"
      ? null
      : `optimizer.type is ${JSON.stringify(type)}, and only AdamW is built; remove the section`,
    ...Object.keys(settingsOf(at(settings, "optimizer.params")))
      .filter((name) => !["lr", "betas", "eps", "weight_decay"].includes(name))
      .map((name) => `optimizer.params.${name} would not be read: the worker has an AdamW of its own; remove it`),
    "scheduler" in settings
      ? "scheduler would not be read: lr_scheduler_type, warmup_ratio and warmup_steps say the learning rate; remove it"
      : null,
    on("fp16.enabled") ? "fp16.enabled is true, and float16 is not built; use bf16" : null,
    ...["offload_optimizer", "offload_param"].map((name) =>
      at(settings, `zero_optimization.${name}.device`) === "nvme"
        ? `zero_optimization.${name}.device is "nvme", which is not built; use "cpu"`
        : null,
    ),
    ...withoutEffect(settings),
    typeof bf16 === "boolean" && computeDtype(config) !== (bf16 ? "bfloat16" : "float32")
      ? `bf16.enabled is ${bf16}, and the computation is ${computeDtype(config)} (bf16, torch_dtype); write "auto"`
      : null,
    ...["amp.enabled", "torch_autocast.enabled"].map((path) =>
      on(path) ? `${path} is true, and bf16 or torch_dtype say the type of the computation; remove it` : null,
    ),
  ].filter((problem) => problem !== null);
}

/** Of a stage, and what the other one would not read: DeepSpeed passes over them. */
const OF_ONE_STAGE: Readonly<Record<2 | 3, (name: string) => boolean>> = {
  2: (name) => name === "allgather_bucket_size",
  3: (name) => name === "sub_group_size" || name.startsWith("stage3_"),
};

/** What DeepSpeed or the worker would pass over in silence. */
function withoutEffect(settings: DeepSpeedSettings): string[] {
  const zero = settingsOf(at(settings, "zero_optimization"));
  const { stage } = zero;
  const other = stage === 2 ? 3 : stage === 3 ? 2 : null;
  const foreign = other === null ? [] : Object.keys(zero).filter(OF_ONE_STAGE[other]);
  return [
    settings["zero_force_ds_cpu_optimizer"] === true
      ? "zero_force_ds_cpu_optimizer is true, and the worker has an AdamW of its own; remove it"
      : null,
    settings["zero_allow_untested_optimizer"] === false
      ? "zero_allow_untested_optimizer is false, and the worker's AdamW is of that kind; remove it"
      : null,
    stage === 2 && at(settings, "zero_optimization.offload_param.device") === "cpu"
      ? "zero_optimization.offload_param would not be read at stage 2, where each rank computes with whole weights; remove it, or use stage 3"
      : null,
    zero["stage3_gather_16bit_weights_on_model_save"] === false && stage === 3
      ? "zero_optimization.stage3_gather_16bit_weights_on_model_save is false, and exports hold whole weights in any case; remove it"
      : null,
    zero["allgather_partitions"] === false
      ? "zero_optimization.allgather_partitions is false, which DeepSpeed no longer reads; remove it"
      : null,
    ...foreign.map((name) => `zero_optimization.${name} would not be read at stage ${String(stage)}; remove it`),
  ].filter((problem) => problem !== null);
}

/** Values "auto" that nobody fills in. */
function openValues(settings: DeepSpeedSettings): string[] {
  const open = (value: unknown, path: string): string[] => {
    if (value === AUTO) return LEFT_TO_WORKER.includes(path) ? [] : [`${path} is "auto", which nothing fills in`];
    return Object.entries(settingsOf(value)).flatMap(([name, entry]) => open(entry, `${path}.${name}`));
  };
  return Object.entries(settings).flatMap(([name, value]) => (OWN_SECTIONS.includes(name) ? [] : open(value, name)));
}
