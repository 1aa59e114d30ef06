/**
 * The memory plan of a run: what its configuration and the model's shape come to on a device, and what would make it fit.
 *
 * @module
 */
import { ConfigError } from "../../errors.js";
import { deepSpeedSpread } from "../deepspeed.js";
import type { DeepSpeedSettings } from "../deepspeed-paths.js";
import { savesBesideTraining } from "../saving.js";
import type { ResolvedConfig, ResolvedSftConfig, SharedConfig } from "../schema.js";
import { computeDtype, trainingStrategy } from "../training.js";
import { changesOf } from "./changes.js";
import { chooseGeneration, planMemory } from "./memory-plan.js";
import type { MemoryPlan } from "./memory-plan.js";
import type { ModelFiles } from "./model-files.js";
import type { MemoryOptions } from "./options.js";
import type { Workload } from "./passes.js";
import { findRemedies } from "./remedies.js";
import type { Remedy } from "./remedies.js";
import { NOTHING_OFFLOADED } from "./storage.js";

/** A run that is to be planned. */
export interface PlannedRun<Config extends ResolvedConfig | ResolvedSftConfig> {
  readonly config: Config;
  readonly model: Pick<ModelFiles, "architecture" | "adapterRank">;
  readonly memory: {
    readonly device: "cpu" | "cuda";
    /** Bytes of one device, or of the machine; null: nobody knows. */
    readonly bytes: number | null;
    /** Devices that could be used. */
    readonly devices: number;
  };
  /** Of the file that `deepspeed` names; null without one. */
  readonly deepspeed: DeepSpeedSettings | null;
  readonly work: (config: Config) => Workload;
  /** Pixels of a picture; null where there is none. */
  readonly pixels: number | null;
  /** @throws ConfigError where a run with this configuration would not start */
  readonly resolve: (config: Config) => void;
}

/** What comes of it. */
export interface RunForecast {
  readonly options: MemoryOptions;
  readonly plan: MemoryPlan;
  /** Bytes that the ranks of one device take together. */
  readonly needed: number;
  /** Also where nobody knows how many bytes there are. */
  readonly fits: boolean;
  /** The cheapest changes with which it would fit; none where it fits. */
  readonly remedies: readonly Remedy[];
}

/** @param most remedies */
export function forecastRun<Config extends ResolvedConfig | ResolvedSftConfig>(
  run: PlannedRun<Config>,
  most?: number,
): RunForecast {
  const { config, memory } = run;
  const ranksPerDevice = memory.device === "cpu" ? config.num_processes : 1;
  const available = memory.bytes === null ? Number.POSITIVE_INFINITY : memory.bytes / ranksPerDevice;
  const options = optionsOf(run, config);
  const plan = planMemory(options);
  const fits = plan.needed <= available;
  const changes = fits
    ? []
    : changesOf({
        config,
        options,
        devices: memory.devices,
        pixels: run.pixels,
        choosesGeneration: choosesGeneration(run, config),
      });
  const trial = {
    config,
    available,
    plan: (changed: Config): MemoryPlan => planMemory(optionsOf(run, changed)),
    accepts: (changed: Config): boolean => starts(run, changed),
  };
  return {
    options,
    plan,
    needed: plan.needed * ranksPerDevice,
    fits,
    remedies: findRemedies(changes, trial, most),
  };
}

function starts<Config extends ResolvedConfig | ResolvedSftConfig>(run: PlannedRun<Config>, changed: Config): boolean {
  try {
    run.resolve(changed);
    return true;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}

/** On a CPU only where it is asked for. */
function choosesGeneration({ memory }: Pick<PlannedRun<ResolvedConfig>, "memory">, config: SharedConfig): boolean {
  return config.ds3_gather_for_generation === null && memory.device === "cuda";
}

/** @param config that of the run, or one with changes that are tried */
function optionsOf<Config extends ResolvedConfig | ResolvedSftConfig>(
  run: PlannedRun<Config>,
  config: Config,
): MemoryOptions {
  const { device, bytes } = run.memory;
  const use: MemoryOptions = {
    architecture: run.model.architecture,
    precision: precisionOf(run, config),
    device,
    ranks: config.num_processes,
    ...spreadOf(run, config),
    adapter: adapterOf(run, config),
    freezeVision: config.freeze_vision_modules,
    gradientCheckpointing: config.gradient_checkpointing,
    activationOffloading: config.activation_offloading,
    optimizer: config.optim,
    reference: "beta" in config && config.beta > 0,
    generation: config.ds3_gather_for_generation === false ? "layerwise" : "gather",
    asyncSave: savesBesideTraining(config, device),
    work: run.work(config),
  };
  return choosesGeneration(run, config) && bytes !== null ? { ...use, generation: chooseGeneration(use, bytes) } : use;
}

type Known = Pick<PlannedRun<ResolvedConfig>, "model" | "memory" | "deepspeed">;

function spreadOf({ deepspeed }: Known, config: SharedConfig): Pick<MemoryOptions, "strategy" | "offload"> {
  const strategy = trainingStrategy(config);
  return strategy === "deepspeed" ? deepSpeedSpread(deepspeed!) : { strategy, offload: NOTHING_OFFLOADED };
}

/** What the worker chooses, where the configuration leaves it to it. */
function precisionOf({ model, memory }: Known, config: SharedConfig): MemoryOptions["precision"] {
  const asked = computeDtype(config);
  if (asked !== "auto") return asked;
  return memory.device === "cuda" && model.architecture.storedBytes === 2 ? "bfloat16" : "float32";
}

/** The worker's, where the configuration leaves the rank to it. */
const DEFAULT_RANK = 16;

function adapterOf({ model }: Known, config: SharedConfig): MemoryOptions["adapter"] {
  if (!config.use_peft) return null;
  return {
    rank: config.lora_r ?? model.adapterRank ?? DEFAULT_RANK,
    targets: config.lora_target_modules,
    magnitudes: config.use_dora === true,
    fourBit: config.load_in_4bit,
  };
}
