/**
 * What a metric can be asked to be, and the configuration that follows from it.
 *
 * @module
 */
import type { ConfigInput } from "../config/index.js";
import { ConfigError } from "../errors.js";
import { ratingQuestion } from "../prompts/index.js";
import { findModel } from "./metric-models.js";
import type { OpenPolicyOptions } from "./open-policy.js";

/**
 * expected: mean of the model's distribution over all answers from 1.00 to 5.99, without thinking; deterministic. greedy:
 * the likeliest answer. sampled: mean of several answers.
 */
export type MetricMode = "expected" | "greedy" | "sampled";

/** What a metric is made of. Options that its mode does not use are refused. */
export interface MetricOptions extends Pick<OpenPolicyOptions, "connect" | "onStderr" | "signal"> {
  /** Folder of a Hugging Face checkpoint, else a name of `listModels`, else a hub id. */
  readonly model: string;
  /** Branch, tag or commit of a hub id. Default: the main branch. */
  readonly revision?: string;
  /** Default "expected". */
  readonly mode?: MetricMode;
  /**
   * Expected only: behind a forced answer tag ("prefix"), or behind the model's own greedy thinking, as in an evaluation.
   * Default "prefix"; of a bundled model "thinking", without which it was taught no answers.
   */
  readonly expectedAfter?: "thinking" | "prefix";
  /** Sampled only: answers per picture. Default 6. */
  readonly samples?: number;
  /** Sampled only: the same seed and the same input give the same answers. Default 42. */
  readonly seed?: number;
  /** Sampled only. Default 1. */
  readonly temperature?: number;
  /** Greedy, sampled, and expected behind thinking: tokens of an answer at most. Default 256. */
  readonly maxCompletionLength?: number;
  /** Default: the question of VisualQuality-R1; of a bundled model the one that it was taught. */
  readonly question?: string;
  /**
   * How the question is put, as `question_template` of the configuration. Default: "scoring", which asks for thinking; for
   * the expected score behind a prefix "scoring_non_thinking"; for a bundled model as it was taught.
   */
  readonly questionTemplate?: string;
  /** auto, cpu, cuda, cuda:<number> or mps. Default "auto". */
  readonly device?: string;
  /** Precision of weights and computation. Default "auto". */
  readonly dtype?: "auto" | "float32" | "bfloat16";
  /** Limits of a picture's area as the model sees it, in pixels. Default: as the checkpoint says; bundled models see 9408. */
  readonly minPixels?: number;
  readonly maxPixels?: number;
  /**
   * Bytes of pictures, as the model sees them, that the worker keeps, and as many of their features; two batches must find
   * room. Default: 512 pictures of `maxPixels`, but from 16 MiB to 1 GiB, which it is where the checkpoint says the limit.
   */
  readonly imageCacheBytes?: number;
  /** CPU threads of the worker. Default: PyTorch's. */
  readonly threads?: number;
  /** Python interpreter of the worker. Default: the one that `thurstone setup` prepared. */
  readonly python?: string;
}

/** Options by the modes that use them. */
const USED_BY = {
  expectedAfter: ["expected"],
  samples: ["sampled"],
  seed: ["sampled"],
  temperature: ["sampled"],
  maxCompletionLength: ["greedy", "sampled"],
} as const satisfies Partial<Record<keyof MetricOptions, readonly MetricMode[]>>;

const MODES: readonly MetricMode[] = ["expected", "greedy", "sampled"];

/** @throws ConfigError METRIC_OPTION for an option that the mode does not use, or a wrong one */
export function checkMetricOptions(options: MetricOptions): void {
  const { mode = "expected", samples } = options;
  if (!MODES.includes(mode)) throw wrongOption(`mode is ${JSON.stringify(mode)}; it must be ${MODES.join(", ")}.`);
  for (const [name, modes] of Object.entries(USED_BY)) {
    if (options[name as keyof typeof USED_BY] === undefined || modes.some((one) => one === mode)) continue;
    if (name === "maxCompletionLength" && options.expectedAfter === "thinking") continue;
    throw wrongOption(`${name} is set, and mode "${mode}" has no use for it: it belongs to ${modes.join(" and ")}.`);
  }
  if (samples !== undefined) checkCount("samples", samples);
}

/** @throws ConfigError METRIC_OPTION for anything but an integer from 1 */
export function checkCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) throw wrongOption(`${name} is ${value}; it must be an integer from 1.`);
}

function wrongOption(message: string): ConfigError {
  return new ConfigError("METRIC_OPTION", message);
}

/** What decides which model is opened and how it answers. */
export type InferenceOptions = Pick<
  MetricOptions,
  | "model"
  | "revision"
  | "questionTemplate"
  | "seed"
  | "temperature"
  | "maxCompletionLength"
  | "device"
  | "dtype"
  | "minPixels"
  | "maxPixels"
  | "imageCacheBytes"
  | "threads"
  | "python"
>;

/** The configuration of a policy that is only asked; what is not given stays at its default. */
export function inferenceConfig(options: InferenceOptions): ConfigInput {
  const { dtype = "auto" } = options;
  return {
    model_name_or_path: options.model,
    model_revision: options.revision,
    question_template: options.questionTemplate,
    seed: options.seed,
    temperature: options.temperature,
    max_completion_length: options.maxCompletionLength,
    device: options.device,
    torch_dtype: dtype,
    bf16: dtype === "bfloat16",
    min_pixels: options.minPixels,
    max_pixels: options.maxPixels,
    image_cache_bytes: options.imageCacheBytes,
    worker_threads: options.threads,
    python_bin: options.python,
  };
}

/** Options as they are asked for, with a bundled model's own in the place of what is left out. */
export type FilledOptions = MetricOptions &
  Required<Pick<MetricOptions, "mode" | "expectedAfter" | "question" | "questionTemplate">>;

/** @throws ConfigError METRIC_MODEL for a name of which nothing is known */
export function fillMetricOptions(options: MetricOptions): FilledOptions {
  const { mode = "expected" } = options;
  const { model, bundled } = findModel(options.model, { anyName: options.connect !== undefined });
  const expectedAfter = options.expectedAfter ?? bundled?.expectedAfter ?? "prefix";
  const thinking = mode !== "expected" || expectedAfter === "thinking";
  const template = bundled?.questionTemplate ?? (thinking ? "scoring" : "scoring_non_thinking");
  const maxPixels = options.maxPixels ?? bundled?.maxPixels;
  return {
    ...options,
    model,
    mode,
    expectedAfter,
    question: options.question ?? bundled?.question ?? ratingQuestion,
    questionTemplate: options.questionTemplate ?? template,
    ...(maxPixels !== undefined && { maxPixels }),
  };
}

/** The worker's cache of pictures, of which none comes a second time: so many, within these bytes. */
const CACHE = { pictures: 512, least: 2 ** 24, most: 2 ** 30 } as const;

/** The policy a metric runs on. */
export function metricConfig(options: FilledOptions): ConfigInput {
  const { maxPixels = Infinity } = options;
  const bytes = Math.min(Math.max(CACHE.least, CACHE.pictures * maxPixels * 3), CACHE.most);
  return inferenceConfig({ ...options, imageCacheBytes: options.imageCacheBytes ?? bytes });
}
