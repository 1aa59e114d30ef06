/**
 * The memory plan of a run that is about to start: its configuration, the model's shape, and how large prompts and pictures are.
 *
 * @module
 */
import {
  chooseGeneration,
  computeDtype,
  deepSpeedSpread,
  findRemedies,
  isSharded,
  planMemory,
  readDeepSpeed,
  readModelFiles,
  savesBesideTraining,
  sftPassTokens,
  trainingStrategy,
} from "../config/index.js";
import type {
  MemoryOptions,
  MemoryPlan,
  ModelFiles,
  Remedy,
  ResolvedConfig,
  ResolvedSftConfig,
  SharedConfig,
  Workload,
} from "../config/index.js";
import { ConfigError } from "../errors.js";
import { findDeviceMemory } from "./device-memory.js";
import type { DeviceMemory } from "./device-memory.js";
import type { PreparedRun, RunBasis } from "./prepare.js";
import { measurePrompts } from "./prompt-sizes.js";
import type { PromptSizes } from "./prompt-sizes.js";
import type { PreparedSft } from "./sft-prepare.js";
import { lastAnswer } from "./sft-examples.js";

export interface MemoryForecast {
  readonly options: MemoryOptions;
  readonly plan: MemoryPlan;
  readonly available: DeviceMemory;
  /** Bytes that the ranks of one device take together. */
  readonly needed: number;
  readonly fits: boolean;
  /** The cheapest changes with which it would fit; none where it fits. */
  readonly remedies: readonly Remedy[];
}

/** @returns null where the model's shape is not known: a hub id that is not one of the released Qwen2.5-VL */
export async function forecastTraining({ config, plan, ...run }: PreparedRun): Promise<MemoryForecast | null> {
  const model = await readModelFiles(config.model_name_or_path);
  if (model === null) return null;
  const sizes = await measurePrompts(run, config, model);
  const work: Workload = {
    ...sharedWork(config, sizes, run),
    prompts: plan.promptsPerStep,
    promptsPerUpdate: Math.ceil(plan.completionsPerUpdate / config.num_generations),
    samples: config.num_generations,
    completionTokens: config.max_completion_length,
    sampled: true,
    tempered: config.temperature !== 1,
    tokensPerPass: config.max_tokens_per_part,
    completionsPerPass: config.per_device_train_batch_size,
  };
  const pairs = config.reward_funcs.some((name) => name !== "format");
  return forecast(config, { model, work, reference: config.beta > 0, leastPrompts: pairs ? 2 : 1, sizes });
}

/** The same of a supervised run. */
export async function forecastSft({ config, plan, ...run }: PreparedSft): Promise<MemoryForecast | null> {
  const model = await readModelFiles(config.model_name_or_path);
  if (model === null) return null;
  const sizes = await measurePrompts(run, config, model, lastAnswer);
  const evaluated = run.heldOut.length;
  const work: Workload = {
    ...sharedWork(config, sizes, run),
    prompts: evaluated > 0 ? evaluated : plan.promptsPerStep,
    promptsPerUpdate: plan.promptsPerStep,
    samples: 1,
    completionTokens: sizes.answerTokens,
    sampled: evaluated > 0,
    tempered: false,
    tokensPerPass: sftPassTokens(config),
    completionsPerPass: config.packing ? null : config.per_device_train_batch_size,
  };
  return forecast(config, { model, work, reference: false, leastPrompts: Number.POSITIVE_INFINITY, sizes });
}

/** What the forecast decided: how to sample where weights lie in pieces and the configuration leaves it open. */
export function withForecast<T extends { readonly config: SharedConfig }>(
  prepared: T,
  forecast: MemoryForecast | null,
): T {
  if (forecast === null || !isSharded(forecast.options)) return prepared;
  const ds3_gather_for_generation = forecast.options.generation === "gather";
  return { ...prepared, config: { ...prepared.config, ds3_gather_for_generation } };
}

/**
 * @throws ConfigError CONFIG_MEMORY, with what would help, when a run does not fit into the memory that there is
 */
export function refuseTooLarge(forecast: MemoryForecast | null): void {
  if (forecast === null || forecast.fits) return;
  const { needed, available, plan, remedies } = forecast;
  const bytes = available.bytes ?? 0;
  const advice =
    remedies.length === 0
      ? "No change that the configuration knows makes it fit: use a larger device, or a smaller model."
      : `What would fit, cheapest first: ${remedies.map(remedyText).join("; or ")}.`;
  throw new ConfigError(
    "CONFIG_MEMORY",
    `The run needs about ${gib(needed)} GiB at its peak (${plan.peak}), and there are ${gib(bytes)} (${available.source}). ` +
      `${advice} --dry-run shows the plan; where it is wrong, device_memory_gb takes a larger number (docs/memory.md).`,
    {
      fields: {
        needed,
        available: bytes,
        remedies: remedies.map(({ settings, plan: { needed: then } }) => ({ settings, needed: then })),
      },
    },
  );
}

/** "gradient_checkpointing: true and beta: 0 (21.3 GiB)". */
export function remedyText({ settings, plan: { needed } }: Remedy): string {
  const keys = Object.entries(settings).map(([key, value]) => `${key}: ${value}`);
  return `${keys.join(" and ")} (${gib(needed)} GiB)`;
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1);
}

interface Asked {
  readonly model: ModelFiles;
  readonly work: Workload;
  readonly reference: boolean;
  readonly leastPrompts: number;
  readonly sizes: PromptSizes;
}

async function forecast(config: ResolvedConfig | ResolvedSftConfig, asked: Asked): Promise<MemoryForecast> {
  const { model, work, sizes } = asked;
  const available = await findDeviceMemory(config);
  const use: MemoryOptions = {
    architecture: model.architecture,
    precision: precisionOf(config, model, available),
    device: available.device,
    ranks: config.num_processes,
    ...(await spreadOf(config)),
    adapter: adapterOf(config, model),
    freezeVision: config.freeze_vision_modules,
    gradientCheckpointing: config.gradient_checkpointing,
    activationOffloading: config.activation_offloading,
    optimizer: config.optim,
    reference: asked.reference,
    generation: config.ds3_gather_for_generation === false ? "layerwise" : "gather",
    asyncSave: savesBesideTraining(config, available.device),
    work,
  };
  const { bytes } = available;
  // On a CPU only where it is asked for.
  const choosesGeneration = config.ds3_gather_for_generation === null && available.device === "cuda";
  const options = choosesGeneration && bytes !== null ? { ...use, generation: chooseGeneration(use, bytes) } : use;
  const plan = planMemory(options);
  const ranksPerDevice = available.device === "cpu" ? options.ranks : 1;
  const fits = bytes === null || plan.needed * ranksPerDevice <= bytes;
  const leeway = {
    devices: available.devices,
    leastPrompts: asked.leastPrompts,
    pixels: sizes.pixelsOfOne === 0 ? null : sizes.pixelsOfOne,
    choosesGeneration,
  };
  return {
    options,
    plan,
    available,
    needed: plan.needed * ranksPerDevice,
    fits,
    remedies: fits ? [] : findRemedies(options, bytes / ranksPerDevice, leeway),
  };
}

async function spreadOf(config: SharedConfig): Promise<Pick<MemoryOptions, "strategy" | "offload">> {
  const strategy = trainingStrategy(config);
  return strategy === "deepspeed"
    ? deepSpeedSpread(await readDeepSpeed(config.deepspeed!, config))
    : { strategy, offload: false };
}

/** What the worker chooses, where the configuration leaves it to it. */
function precisionOf(
  config: SharedConfig,
  { architecture }: ModelFiles,
  { device }: DeviceMemory,
): MemoryOptions["precision"] {
  const asked = computeDtype(config);
  if (asked !== "auto") return asked;
  return device === "cuda" && architecture.storedBytes === 2 ? "bfloat16" : "float32";
}

/** The worker's, where the configuration leaves the rank to it. */
const DEFAULT_RANK = 16;

function adapterOf(config: SharedConfig, { adapterRank }: ModelFiles): MemoryOptions["adapter"] {
  if (!config.use_peft) return null;
  return {
    rank: config.lora_r ?? adapterRank ?? DEFAULT_RANK,
    targets: config.lora_target_modules,
    magnitudes: config.use_dora === true,
    fourBit: config.load_in_4bit,
  };
}

function sharedWork(
  config: SharedConfig,
  sizes: PromptSizes,
  { rowCount }: Pick<RunBasis, "rowCount">,
): Pick<Workload, "promptTokens" | "imageTokens" | "patches" | "pictureBytes" | "pictureLimit"> {
  const { textTokens, imageTokens, patches, pixels } = sizes;
  return {
    promptTokens: Math.min(textTokens + imageTokens, config.max_prompt_length ?? Number.POSITIVE_INFINITY),
    imageTokens,
    patches,
    pictureBytes: rowCount * pixels * 3,
    pictureLimit: config.image_cache_bytes,
  };
}
