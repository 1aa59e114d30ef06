/**
 * What could be changed when a run does not fit, in the keys of the configuration.
 *
 * A cost is the share of a step's time that a change takes, in percent, or what we hold equal to it where it changes what is
 * trained: the order is a judgement, that a set fits is computed.
 *
 * @module
 */
import type { ResolvedConfig, ResolvedSftConfig } from "../schema.js";
import { isSharded } from "./options.js";
import type { MemoryOptions } from "./options.js";

/** As it is to be written into the configuration; null: the key is to be removed. */
export type Settings = Readonly<Record<string, number | boolean | string | null>>;

/** One step towards a run that fits. */
export interface Change {
  readonly settings: Settings;
  readonly cost: number;
}

/** What changes depend on. */
export interface ChangeContext {
  readonly config: ResolvedConfig | ResolvedSftConfig;
  /** What `config` comes to. */
  readonly options: MemoryOptions;
  /** Devices that could be used; ranks beyond them are not proposed. */
  readonly devices: number;
  /** Pixels of a picture now; null: pictures have none to lose. */
  readonly pixels: number | null;
  /** Whether sampling goes layer by layer where whole weights do not fit, or only when it is told to. */
  readonly choosesGeneration: boolean;
}

/**
 * @returns changes that do something, not all of which go with each other or with the rest of the configuration: that is for
 *   its own checks to say
 */
export function changesOf(context: ChangeContext): Change[] {
  return [
    ...withoutCopy(context),
    ...smallerPasses(context),
    ...smallerState(context),
    ...trainedLess(context),
    ...smallerPictures(context),
    ...fewerPrompts(context),
    ...moreRanks(context),
    ...layerwise(context),
  ];
}

function withoutCopy({ options: { device, asyncSave } }: ChangeContext): Change[] {
  return device === "cpu" && asyncSave === true ? [{ settings: { async_save: false }, cost: 1 }] : [];
}

function smallerPasses({ options: { work } }: ChangeContext): Change[] {
  const { promptTokens: prompt, samples, completionTokens: completion } = work;
  // Below a whole group every pass computes the prompt anew.
  const sizes: readonly (readonly [number, number])[] = [
    [samples, 3],
    [Math.ceil(samples / 2), 10],
    [1, 25],
  ];
  return sizes.flatMap(([rows, cost]) => {
    const tokens = prompt + rows * completion;
    const smaller = tokens < (work.tokensPerPass ?? Number.POSITIVE_INFINITY);
    return smaller ? [{ settings: { max_tokens_per_part: tokens }, cost }] : [];
  });
}

/** On a CPU what it saves goes into working memory. */
function smallerState({ options: { device, optimizer, strategy } }: ChangeContext): Change[] {
  const possible = device === "cuda" && optimizer === "adamw_torch" && (strategy === "single" || strategy === "ddp");
  return possible ? [{ settings: { optim: "adamw_bnb_8bit" }, cost: 30 }] : [];
}

function trainedLess({ config, options }: ChangeContext): Change[] {
  const { adapter, device, precision, gradientCheckpointing: saving } = options;
  const onCuda = device === "cuda";
  // A tower that is no longer trained has no pace of its own.
  const towerAtRest = config.vision_learning_rate === null ? {} : { vision_learning_rate: null };
  const changes: readonly (readonly [possible: boolean, settings: Settings, cost: number])[] = [
    [!saving, { gradient_checkpointing: true }, 33],
    [!options.freezeVision && adapter === null, { freeze_vision_modules: true, ...towerAtRest }, 55],
    [adapter === null, { use_peft: true, ...towerAtRest }, 70],
    // Each layer's inputs travel to the machine's memory and back.
    [onCuda && saving && options.activationOffloading !== true, { activation_offloading: true }, 20],
    [onCuda && !saving, { gradient_checkpointing: true, activation_offloading: true }, 53],
    [onCuda && adapter?.fourBit === false && precision === "bfloat16", { load_in_4bit: true }, 40],
    [onCuda && adapter === null, { use_peft: true, load_in_4bit: true, ...towerAtRest }, 110],
    [options.reference, { beta: 0 }, 90],
    [onCuda && precision === "float32", { bf16: true }, 5],
  ];
  return changes.flatMap(([possible, settings, cost]) => (possible ? [{ settings, cost }] : []));
}

function smallerPictures({ pixels }: ChangeContext): Change[] {
  if (pixels === null) return [];
  return [
    { settings: { max_pixels: Math.floor(pixels / 2) }, cost: 45 },
    { settings: { max_pixels: Math.floor(pixels / 4) }, cost: 75 },
  ];
}

function fewerPrompts({ config, options: { work, ranks } }: ChangeContext): Change[] {
  if (!("prompts_per_step" in config)) return [];
  const shares: readonly (readonly [number, number])[] = [
    [2, 50],
    [4, 65],
  ];
  return shares.flatMap(([share, cost]) => {
    const prompts = config.prompts_per_step / share;
    return Number.isInteger(prompts) && prompts >= ranks && work.promptsPerUpdate === config.prompts_per_step
      ? [{ settings: { prompts_per_step: prompts }, cost }]
      : [];
  });
}

function layerwise({ options, choosesGeneration }: ChangeContext): Change[] {
  const told = !choosesGeneration && isSharded(options) && options.generation === "gather";
  return told ? [{ settings: { ds3_gather_for_generation: false }, cost: 60 }] : [];
}

function moreRanks({ config, options: { ranks, device, strategy }, devices }: ChangeContext): Change[] {
  // On a CPU ranks share one memory.
  if (device === "cpu") return [];
  return [2, 4, 8, 16, 32, 64].flatMap((count, doublings) => {
    const batch = sameUpdate(config, count);
    const there = count <= Math.max(devices, ranks);
    if (count < ranks || !there || batch === null || (strategy === "fsdp2" && count === ranks)) return [];
    return [
      {
        settings: {
          num_processes: count,
          strategy: "fsdp2",
          ...batch,
          ...(config.deepspeed !== null && { deepspeed: null }),
          // Neither of which is cut into pieces.
          ...(config.optim === "adamw_bnb_8bit" && { optim: "adamw_torch" }),
          ...(config.load_in_4bit && { load_in_4bit: false }),
        },
        cost: 40 + 10 * (doublings - Math.log2(ranks)),
      },
    ];
  });
}

/** With what the updates of so many processes are as large as they were; null where nothing makes them so. */
function sameUpdate(config: ChangeContext["config"], count: number): Settings | null {
  const { per_device_train_batch_size: rows, gradient_accumulation_steps: passes, num_processes: ranks } = config;
  if (rows === null || count === ranks) return {};
  if ((rows * ranks) % count === 0) return { per_device_train_batch_size: (rows * ranks) / count };
  return (passes * ranks) % count === 0 ? { gradient_accumulation_steps: (passes * ranks) / count } : null;
}
