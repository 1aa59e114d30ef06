/**
 * The memory plan of --dry-run in words and columns.
 *
 * @module
 */
import { countAdapter, countParameters, isSharded, MEMORY_PARTS, sampledBatches, sum } from "../config/index.js";
import type { MemoryOptions } from "../config/index.js";
import { remedyText, uncheckedText } from "../trainer/index.js";
import type { MemoryForecast } from "../trainer/index.js";
import { count, table } from "./table.js";

/** @param model its name; @param forecast null where its shape is not known */
export function memoryLines(model: string, forecast: MemoryForecast | null): string[] {
  if (forecast === null) {
    return [`unknown: ${model} is no folder with a config.json of Qwen2-VL or Qwen2.5-VL, and no released Qwen2.5-VL`];
  }
  const { options, plan, available, needed, fits, remedies } = forecast;
  const stages = ["generate", "train", "update"] as const;
  const rows = MEMORY_PARTS.map((part) => [part, ...stages.map((stage) => plan.stages[stage][part] ?? 0)] as const)
    .filter(([, ...bytes]) => bytes.some((one) => one > 0))
    .map(([part, ...bytes]) => [part, ...bytes.map((one) => (one === 0 ? "-" : bytesText(one)))]);
  const total = ["together", ...stages.map((stage) => bytesText(sum(plan.stages[stage])))];
  const place = available.device === "cpu" ? "as a process" : "on its device";
  const unchecked = uncheckedText(forecast);
  return [
    ...modelLines(options),
    ...(isSharded(options) && sampledBatches(options.work).length > 0 ? [GENERATION[options.generation]] : []),
    ...table(["", ...stages], [...rows, total]),
    `${place}, with libraries and fragments: about ${bytesText(needed)} at its peak (${plan.peak})`,
    ...(plan.host === 0 ? [] : [`in the machine's memory besides: about ${bytesText(plan.host)}`]),
    ...(plan.loading === 0
      ? []
      : [`while it is loaded, in the machine's memory of the first rank: about ${bytesText(plan.loading)}`]),
    unchecked ??
      `there are ${bytesText(available.bytes!)} (${available.source}): ${fits ? "it fits" : "IT DOES NOT FIT"}`,
    ...(fits ? [] : remedyLines(remedies)),
  ];
}

/** What `ds3_gather_for_generation` says, or was chosen for it. */
const GENERATION = {
  gather: "weights in pieces are put together at each rank to sample",
  layerwise:
    "weights in pieces are sampled from layer by layer, all ranks in step: together they do not fit, or are not to be",
} as const;

function remedyLines(remedies: MemoryForecast["remedies"]): string[] {
  if (remedies.length === 0) return ["no change that the configuration knows makes it fit"];
  return ["what would fit, cheapest first:", ...remedies.map((remedy) => `  ${remedyText(remedy)}`)];
}

function modelLines({ architecture, adapter, freezeVision, precision, work }: MemoryOptions): string[] {
  const { total, vision } = countParameters(architecture);
  const trained =
    adapter === null
      ? total - (freezeVision ? vision.products + vision.others : 0)
      : countAdapter(architecture, adapter).parameters;
  const rest = adapter === null ? `${trained} of them trained` : `${trained} more in the adapter, which is trained`;
  return [
    `${count(total, "parameter")}, ${rest}; computed in ${precision}`,
    `a prompt: about ${count(work.promptTokens, "token")}, ${work.imageTokens} of them of pictures; a completion: ${work.completionTokens}`,
  ];
}

/** "12.3 GiB". */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"] as const;
  const power = bytes < 1024 ? 0 : Math.min(3, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]!}`;
}
