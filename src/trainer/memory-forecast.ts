/**
 * The memory plan of a run that is about to start: its configuration, the model's shape, and how large prompts and pictures are.
 *
 * @module
 */
import {
  acceptDeepSpeed,
  forecastRun,
  isSharded,
  parseDeepSpeed,
  readModelFiles,
  resolveConfig,
  resolveSftConfig,
  sftWorkload,
  trainWorkload,
} from "../config/index.js";
import type {
  PlannedRun,
  PromptSizes,
  Remedy,
  ResolvedConfig,
  ResolvedSftConfig,
  RowCounts,
  RunForecast,
  SharedConfig,
  Workload,
} from "../config/index.js";
import type { Row } from "../data/index.js";
import { ConfigError } from "../errors.js";
import { checkRewards } from "../rewards/index.js";
import { ROWS_PER_CALL } from "./evaluation/index.js";
import { findDeviceMemory } from "./device-memory.js";
import type { DeviceMemory } from "./device-memory.js";
import type { OpenPolicyOptions } from "./open-policy.js";
import type { PreparedRun, RunBasis } from "./prepare.js";
import { measurePrompts } from "./prompt-sizes.js";
import type { PreparedSft } from "./sft-prepare.js";
import { lastAnswer } from "./sft-examples.js";

export interface MemoryForecast extends RunForecast {
  readonly available: DeviceMemory;
}

/** @returns null where the model's shape is not known: a hub id that is not one of the released Qwen2.5-VL */
export async function forecastTraining(prepared: PreparedRun): Promise<MemoryForecast | null> {
  const { rewards } = prepared;
  const customRewards = rewards.map(({ name }) => name);
  return forecast<ResolvedConfig>(prepared, {
    workload: trainWorkload,
    resolve(config) {
      const { prompts_per_step: promptsPerStep, num_generations: numGenerations } = resolveConfig(config, {
        customRewards,
      });
      checkRewards(rewards, { promptsPerStep, numGenerations });
    },
  });
}

/** The same of a supervised run. */
export async function forecastSft(prepared: PreparedSft): Promise<MemoryForecast | null> {
  return forecast<ResolvedSftConfig>(prepared, {
    workload: sftWorkload,
    resolve: (config) => resolveSftConfig(config),
    answer: lastAnswer,
    rates: ({ mos }) => mos !== undefined,
  });
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

/**
 * Of a run that nobody could refuse: what it needs, and which key would have it checked. null where it was checked.
 */
export function uncheckedText(forecast: MemoryForecast | null): string | null {
  if (forecast === null || forecast.available.bytes !== null) return null;
  const { options, plan, needed, available } = forecast;
  const gathered = isSharded(options) && options.generation === "gather";
  return (
    `the memory plan is not checked (${available.source}): a rank needs about ${gib(needed)} GiB at its peak (${plan.peak})` +
    `${gathered ? ", with all weights put together to sample, whether or not they fit" : ""}. ` +
    "Set device_memory_gb to what the smallest device has, and a run that does not fit is refused (docs/memory.md)."
  );
}

/** Says so where a run starts, before its workers are waited for. */
export function tellUnchecked(
  forecast: MemoryForecast | null,
  { onStderr, onNews = onStderr }: Pick<OpenPolicyOptions, "onStderr" | "onNews">,
): void {
  const text = uncheckedText(forecast);
  if (text !== null) onNews?.(text);
}

/** "num_processes: 8 and strategy: fsdp2 and remove deepspeed (21.3 GiB)". */
export function remedyText({ settings, plan: { needed } }: Remedy): string {
  const keys = Object.entries(settings).map(([key, value]) => (value === null ? `remove ${key}` : `${key}: ${value}`));
  return `${keys.join(" and ")} (${gib(needed)} GiB)`;
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1);
}

/** The parts in which the tasks differ. */
interface Asked<Config extends ResolvedConfig | ResolvedSftConfig> extends Pick<PlannedRun<Config>, "resolve"> {
  readonly workload: (config: Config, sizes: PromptSizes, rows: RowCounts) => Workload;
  /** What of a row's messages is trained for; nothing of it unless given. */
  readonly answer?: (row: Row) => string;
  /** Whether a held-out row is rated; all are unless given. */
  readonly rates?: (row: Row) => boolean;
}

async function forecast<Config extends ResolvedConfig | ResolvedSftConfig>(
  { config, heldOut, rowCount, sampler }: RunBasis & { readonly config: Config },
  { workload, resolve, answer, rates = () => true }: Asked<Config>,
): Promise<MemoryForecast | null> {
  const model = await readModelFiles(config.model_name_or_path);
  if (model === null) return null;
  const sizes = await measurePrompts({ sampler }, config, model, answer);
  const rows = { trained: rowCount, rated: Math.min(ROWS_PER_CALL, heldOut.filter(rates).length) };
  const { pixelsOfOne } = sizes(config);
  const available = await findDeviceMemory(config);
  const deepspeed = config.deepspeed === null ? null : await parseDeepSpeed(config.deepspeed);
  const found = forecastRun<Config>({
    config,
    model,
    memory: available,
    deepspeed,
    work: (changed) => workload(changed, sizes(changed), rows),
    pixels: pixelsOfOne === 0 ? null : pixelsOfOne,
    resolve(changed) {
      resolve(changed);
      if (changed.deepspeed !== null) acceptDeepSpeed(changed.deepspeed, deepspeed!, changed);
    },
  });
  return { ...found, available };
}
