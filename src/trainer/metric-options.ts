/**
 * What a metric can be asked to be, and the configuration that follows from it.
 *
 * @module
 */
import type { ConfigInput } from "../config/index.js";
import { ConfigError } from "../errors.js";
import type { OpenPolicyOptions } from "./open-policy.js";

/**
 * expected: mean of the model's distribution over all answers from 1.00 to 5.99, without thinking; deterministic. greedy:
 * the likeliest answer. sampled: mean of several answers.
 */
export type MetricMode = "expected" | "greedy" | "sampled";

/** What a metric is made of. Options that its mode does not use are refused. */
export interface MetricOptions extends Pick<OpenPolicyOptions, "connect" | "onStderr" | "signal"> {
  /** Folder of a Hugging Face checkpoint, or a hub id. */
  readonly model: string;
  /** Branch, tag or commit of a hub id. Default: the main branch. */
  readonly revision?: string;
  /** Default "expected". */
  readonly mode?: MetricMode;
  /** Sampled only: answers per picture. Default 6. */
  readonly samples?: number;
  /** Sampled only: the same seed and the same input give the same answers. Default 42. */
  readonly seed?: number;
  /** Sampled only. Default 1. */
  readonly temperature?: number;
  /** Greedy and sampled: tokens of an answer at most. Default 256. */
  readonly maxCompletionLength?: number;
  /** Default: the question of VisualQuality-R1. */
  readonly question?: string;
  /**
   * How the question is put, as `question_template` of the configuration. Default: "scoring", which asks for thinking; for
   * the expected score "scoring_non_thinking".
   */
  readonly questionTemplate?: string;
  /** auto, cpu, cuda, cuda:<number> or mps. Default "auto". */
  readonly device?: string;
  /** Precision of weights and computation. Default "auto". */
  readonly dtype?: "auto" | "float32" | "bfloat16";
  /** Limits of a picture's area as the model sees it, in pixels. Default: as the checkpoint says. */
  readonly minPixels?: number;
  readonly maxPixels?: number;
  /** Bytes of pictures, as the model sees them, that the worker keeps, and as many of their features. Default: 1 GiB. */
  readonly imageCacheBytes?: number;
  /** CPU threads of the worker. Default: PyTorch's. */
  readonly threads?: number;
  /** Python interpreter of the worker. Default: the one that `thurstone setup` prepared. */
  readonly python?: string;
}

/** Options by the modes that use them. */
const USED_BY = {
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

/** The policy a metric runs on. */
export function metricConfig(options: MetricOptions): ConfigInput {
  const template = (options.mode ?? "expected") === "expected" ? "scoring_non_thinking" : "scoring";
  return inferenceConfig({ ...options, questionTemplate: options.questionTemplate ?? template });
}
