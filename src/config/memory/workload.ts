/**
 * What a run asks of the model, from its configuration and the sizes of its prompts.
 *
 * @module
 */
import { batchSizes, sftPassTokens, updateSize } from "../batch-arithmetic.js";
import type { ResolvedConfig, ResolvedSftConfig, SharedConfig } from "../schema.js";
import type { Workload } from "./passes.js";

/** The largest of what was looked at. */
export interface PromptSizes {
  readonly textTokens: number;
  readonly answerTokens: number;
  readonly imageTokens: number;
  readonly patches: number;
  /** Pixels of the pictures of a row. */
  readonly pixels: number;
  /** Of one picture. */
  readonly pixelsOfOne: number;
}

/** How many rows a run has. */
export interface RowCounts {
  readonly trained: number;
  readonly heldOut: number;
}

/** Of a run of `train`. */
export function trainWorkload(config: ResolvedConfig, sizes: PromptSizes, rows: RowCounts): Workload {
  const { promptsPerStep, completionsPerUpdate } = batchSizes(config);
  return {
    ...sharedWork(config, sizes, rows),
    prompts: promptsPerStep,
    promptsPerUpdate: Math.ceil(completionsPerUpdate / config.num_generations),
    samples: config.num_generations,
    completionTokens: config.max_completion_length,
    sampled: true,
    tempered: config.temperature !== 1,
    tokensPerPass: config.max_tokens_per_part,
    completionsPerPass: config.per_device_train_batch_size,
  };
}

/** The same of a supervised run. */
export function sftWorkload(config: ResolvedSftConfig, sizes: PromptSizes, rows: RowCounts): Workload {
  // Which `sft` has in any case.
  const promptsPerUpdate = updateSize(config)!;
  return {
    ...sharedWork(config, sizes, rows),
    prompts: rows.heldOut > 0 ? rows.heldOut : promptsPerUpdate,
    promptsPerUpdate,
    samples: 1,
    completionTokens: sizes.answerTokens,
    sampled: rows.heldOut > 0,
    tempered: false,
    tokensPerPass: sftPassTokens(config),
    completionsPerPass: config.packing ? null : config.per_device_train_batch_size,
  };
}

function sharedWork(
  config: SharedConfig,
  { textTokens, imageTokens, patches, pixels }: PromptSizes,
  { trained }: RowCounts,
): Pick<Workload, "promptTokens" | "imageTokens" | "patches" | "pictureBytes" | "pictureLimit"> {
  return {
    promptTokens: Math.min(textTokens + imageTokens, config.max_prompt_length ?? Number.POSITIVE_INFINITY),
    imageTokens,
    patches,
    pictureBytes: trained * pixels * 3,
    pictureLimit: config.image_cache_bytes,
  };
}
