/**
 * What an evaluation can be asked for, and the configuration that follows from it.
 *
 * @module
 */
import type { ConfigInput } from "../../config/index.js";
import type { RowSource } from "../../data/index.js";
import { ConfigError } from "../../errors.js";
import { asksForThinking } from "../../prompts/index.js";
import { estimatorNames } from "../estimators.js";
import type { EstimatorName } from "../estimators.js";
import { inferenceConfig } from "../metric-options.js";
import type { MetricOptions } from "../metric-options.js";
import type { EvaluateRowsOptions } from "./evaluate-rows.js";
import type { OnMissing } from "./results.js";

type ModelOptions = Pick<
  MetricOptions,
  | "model"
  | "revision"
  | "device"
  | "dtype"
  | "minPixels"
  | "maxPixels"
  | "threads"
  | "python"
  | "connect"
  | "onStderr"
  | "signal"
>;

/** What is evaluated, on what, and how. Options that no estimator uses are refused. */
export interface EvaluateOptions extends ModelOptions {
  /** JSONL files with labelled rows, in the format of training data, or KADID-10k's `dmos.csv`. */
  readonly data: string | readonly string[];
  /** Folders of their pictures: one per file, or one for all. Default: each file's own folder. */
  readonly imageFolders?: string | readonly string[];
  /** Name of the data set for rows that carry none. */
  readonly datasetName?: string;
  /** Default: all three. */
  readonly estimators?: readonly EstimatorName[];
  /** Sampled: answers per picture. Default 6. */
  readonly samples?: number;
  /** Sampled: temperature. Default 1. The expected score is that of the model's own distribution, at temperature 1. */
  readonly temperature?: number;
  /**
   * Expected: behind the model's own greedy thinking, or behind a forced answer tag ("prefix"). Default: thinking where the
   * question asks for it.
   */
  readonly expectedAfter?: "thinking" | "prefix";
  /** Names the draws of answers and of resamples: the same seed gives the same bytes. Default 42. */
  readonly seed?: number;
  /** How the question is put, as `question_template` of the configuration. Default "scoring". */
  readonly questionTemplate?: string;
  /** Tokens of an answer at most. Default 256. */
  readonly maxCompletionLength?: number;
  /** Rows that go to the model together. Default 64. */
  readonly batch?: number;
  /** Resamples of the 95 % intervals. Default 1000. */
  readonly bootstrap?: number;
  /**
   * Pictures without a score. fail (default): they are left out, and more than 1 % of them is a failure. exclude: they are
   * left out. worst: they count with the end of the scale that is further from their label.
   */
  readonly onMissing?: OnMissing;
  /** Control: shows a mid-grey picture of the same size in place of every picture. Default false. */
  readonly blank?: boolean;
  /** Rows that are done. */
  readonly onProgress?: EvaluateRowsOptions["onProgress"];
}

/** Every choice made, defaults filled in; part of the report. */
export interface EvaluationSettings {
  readonly estimators: readonly EstimatorName[];
  readonly samples: number;
  readonly temperature: number;
  readonly expectedAfter: "thinking" | "prefix";
  readonly expectedTemperature: 1;
  readonly seed: number;
  readonly questionTemplate: string;
  readonly thinking: boolean;
  readonly maxCompletionLength: number;
  readonly topP: 1;
  readonly topK: 0;
  readonly minP: 0;
  readonly repetitionPenalty: 1;
  readonly minPixels: number | null;
  readonly maxPixels: number | null;
  readonly batch: number;
  readonly bootstrap: number;
  readonly onMissing: OnMissing;
  readonly blank: boolean;
  readonly datasetName: string | null;
}

const ON_MISSING: readonly OnMissing[] = ["fail", "exclude", "worst"];

/** @throws ConfigError EVAL_OPTION */
export function evaluationSettings(options: EvaluateOptions): EvaluationSettings {
  const { estimators = estimatorNames, questionTemplate = "scoring", onMissing = "fail" } = options;
  const unknown = estimators.filter((name) => !estimatorNames.includes(name));
  if (estimators.length === 0 || unknown.length > 0 || new Set(estimators).size < estimators.length) {
    throw wrong(
      `estimators is ${JSON.stringify(estimators)}; it must name ${estimatorNames.join(", ")}, or some of them.`,
    );
  }
  for (const [name, estimator] of [
    ["samples", "sampled"],
    ["temperature", "sampled"],
    ["expectedAfter", "expected"],
  ] as const) {
    if (options[name] === undefined || estimators.includes(estimator)) continue;
    throw wrong(`${name} is set, and it belongs to the estimator "${estimator}", which is not asked for.`);
  }
  for (const name of ["samples", "batch", "bootstrap", "maxCompletionLength"] as const) {
    const value = options[name] ?? 1;
    if (!Number.isInteger(value) || value < 1) throw wrong(`${name} is ${value}; it must be an integer from 1.`);
  }
  if (!ON_MISSING.includes(onMissing)) {
    throw wrong(`onMissing is ${JSON.stringify(onMissing)}; it must be ${ON_MISSING.join(", ")}.`);
  }
  const thinking = asksForThinking(questionTemplate);
  return {
    estimators: estimatorNames.filter((name) => estimators.includes(name)),
    samples: options.samples ?? 6,
    temperature: options.temperature ?? 1,
    expectedAfter: options.expectedAfter ?? (thinking ? "thinking" : "prefix"),
    expectedTemperature: 1,
    seed: options.seed ?? 42,
    questionTemplate,
    thinking,
    maxCompletionLength: options.maxCompletionLength ?? 256,
    topP: 1,
    topK: 0,
    minP: 0,
    repetitionPenalty: 1,
    minPixels: options.minPixels ?? null,
    maxPixels: options.maxPixels ?? null,
    batch: options.batch ?? 64,
    bootstrap: options.bootstrap ?? 1000,
    onMissing,
    blank: options.blank ?? false,
    datasetName: options.datasetName ?? null,
  };
}

/** Where the rows come from. */
export function rowSource(data: EvaluateOptions["data"], options: EvaluateOptions): RowSource {
  return {
    data_file_paths: [data].flat() as string[],
    image_folders: [options.imageFolders ?? []].flat() as string[],
    dataset_name: options.datasetName ?? null,
  };
}

/** The policy that is evaluated. */
export function policyConfig(model: string, options: EvaluateOptions, settings: EvaluationSettings): ConfigInput {
  const { questionTemplate, seed, temperature, maxCompletionLength } = settings;
  return inferenceConfig({ ...options, model, questionTemplate, seed, temperature, maxCompletionLength });
}

/** How `evaluateRows` is to go about it. */
export function rowsOptions(options: EvaluateOptions, settings: EvaluationSettings): EvaluateRowsOptions {
  const { estimators, samples, temperature, expectedAfter, seed, thinking, batch, bootstrap, onMissing } = settings;
  const { signal, onProgress } = options;
  return {
    estimators,
    samples,
    temperature,
    expectedAfter,
    seed,
    thinking,
    batch,
    bootstrap,
    onMissing,
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  };
}

function wrong(message: string): ConfigError {
  return new ConfigError("EVAL_OPTION", message);
}
