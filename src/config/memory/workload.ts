/**
 * What a run asks of the model, from its configuration and the sizes of its prompts.
 *
 * @module
 */
import { batchSizes, sftPassTokens, updateSize } from "../batch-arithmetic.js";
import type { ResolvedConfig, ResolvedSftConfig, SharedConfig } from "../schema.js";
import type { EvaluationWork, Workload } from "./passes.js";

/** Of the tag that an answer is forced to begin with, at most. */
const ANSWER_TAG_TOKENS = 8;

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
  /** Held-out rows that are rated in one go; 0 where there are none. */
  readonly rated: number;
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
    prompts: promptsPerUpdate,
    promptsPerUpdate,
    samples: 1,
    completionTokens: sizes.answerTokens,
    sampled: false,
    tempered: false,
    tokensPerPass: sftPassTokens(config),
    completionsPerPass: config.packing ? null : config.per_device_train_batch_size,
  };
}

function sharedWork(
  config: SharedConfig,
  { textTokens, imageTokens, patches, pixels }: PromptSizes,
  { trained, rated }: RowCounts,
): Pick<Workload, "promptTokens" | "imageTokens" | "patches" | "pictureBytes" | "pictureLimit" | "evaluation"> {
  return {
    evaluation: rated === 0 ? null : evaluationOf(config, rated),
    promptTokens: Math.min(textTokens + imageTokens, config.max_prompt_length ?? Number.POSITIVE_INFINITY),
    imageTokens,
    patches,
    pictureBytes: trained * pixels * 3,
    pictureLimit: config.image_cache_bytes,
  };
}

function evaluationOf(config: SharedConfig, prompts: number): EvaluationWork {
  const asks = (name: SharedConfig["eval_estimators"][number]): boolean => config.eval_estimators.includes(name);
  // Where nothing is said it depends on the question: the longer text counts.
  const thoughtful = asks("expected") && config.eval_expected_after !== "prefix";
  const { eval_samples, max_completion_length: completionTokens } = config;
  const samples = asks("sampled") ? eval_samples : asks("greedy") || thoughtful ? 1 : null;
  return {
    answers: samples === null ? null : { prompts, samples, completionTokens },
    tokensAheadOfScore: asks("expected") ? (thoughtful ? completionTokens : ANSWER_TAG_TOKENS) : null,
  };
}
