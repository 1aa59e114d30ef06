/**
 * Which model is asked and how: what `thurstone score`, `thurstone compare` and `thurstone serve` take in common.
 *
 * @module
 */
import { Option } from "commander";
import type { Command as Program } from "commander";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { PACKAGE_ROOT } from "../../python/index.js";
import type { MetricOptions } from "../../trainer/index.js";
import { positiveInteger, positiveNumber, wholeNumber } from "../numbers.js";

/** As commander reads them. */
export interface MetricFlags extends Omit<
  MetricOptions,
  "model" | "mode" | "connect" | "onStderr" | "signal" | "python" | "imageCacheBytes"
> {
  readonly mode: "expected" | "fast" | "reasoning";
}

/** Those of `addMetricFlags`, by name. */
const METRIC_FLAGS: Readonly<Record<keyof MetricFlags, true>> = {
  mode: true,
  samples: true,
  seed: true,
  temperature: true,
  maxCompletionLength: true,
  question: true,
  questionTemplate: true,
  minPixels: true,
  maxPixels: true,
  device: true,
  dtype: true,
  threads: true,
  revision: true,
};

/** Tiny checkpoints that come with the package, for trying things out, with the one question that they were taught. */
const BUNDLED: readonly string[] = ["rated", "part", "zero"];
const BUNDLED_QUESTION = {
  question: "Rate the quality of this image from 1 to 5.",
  questionTemplate: "{Question}",
  maxPixels: 9408,
} as const;

export function addMetricFlags(program: Program): Program {
  return program
    .addOption(
      new Option(
        "--mode <mode>",
        "expected: mean over all answers, the same at every call; fast: an answer without thinking; reasoning: with thinking",
      )
        .choices(["expected", "fast", "reasoning"])
        .default("expected"),
    )
    .option(
      "--samples <count>",
      "fast and reasoning: mean of so many sampled answers, not the likeliest",
      positiveInteger,
    )
    .option("--seed <number>", "--samples: names the draws [42]", wholeNumber)
    .option("--temperature <number>", "--samples: temperature [1]", positiveNumber)
    .option(
      "--max-completion-length <tokens>",
      "fast and reasoning: tokens of an answer at most [256]",
      positiveInteger,
    )
    .option("--question <text>", "what is asked [the question of VisualQuality-R1]")
    .option("--question-template <template>", "how it is put, as the configuration key [as the mode says]")
    .option("--min-pixels <pixels>", "a picture's area at least [as the checkpoint says]", positiveInteger)
    .option("--max-pixels <pixels>", "a picture's area at most [as the checkpoint says]", positiveInteger)
    .option("--device <device>", "auto, cpu, cuda, cuda:<number> or mps [auto]")
    .addOption(new Option("--dtype <dtype>", "precision [auto]").choices(["auto", "float32", "bfloat16"]))
    .option("--threads <count>", "CPU threads of the worker", positiveInteger)
    .option("--revision <revision>", "branch, tag or commit of a hub id");
}

/** Of all flags of a command those that decide how the model is asked, in their order. */
export function metricFlagsOf(flags: MetricFlags): MetricFlags {
  const own = Object.entries(flags).filter(([name]) => Object.hasOwn(METRIC_FLAGS, name));
  return Object.fromEntries(own) as unknown as MetricFlags;
}

/** Options of which a mode has no use; null where there are none. */
export function metricFlagProblem({
  mode,
  samples,
  seed,
  temperature,
  maxCompletionLength,
}: MetricFlags): string | null {
  if (mode === "expected" && (samples ?? seed ?? temperature ?? maxCompletionLength) !== undefined) {
    return "--samples, --seed, --temperature and --max-completion-length belong to --mode fast and reasoning: the expected score is over all answers, and draws none";
  }
  const draws = samples !== undefined || (seed ?? temperature) === undefined;
  return draws ? null : "--seed and --temperature belong to sampled answers: give --samples as well";
}

/** Options of a metric. A model is a folder, else one of the bundled names, else a hub id. */
export function metricOptions(model: string, flags: MetricFlags, cwd: string): MetricOptions {
  const { mode, ...asked } = metricFlagsOf(flags);
  const template = mode === "reasoning" ? "scoring" : "scoring_non_thinking";
  return {
    questionTemplate: template,
    ...resolveModel(model, cwd),
    ...asked,
    mode: mode === "expected" ? "expected" : asked.samples === undefined ? "greedy" : "sampled",
  };
}

function resolveModel(model: string, cwd: string): Pick<MetricOptions, "model" | "question" | "questionTemplate"> {
  const folder = resolve(cwd, model);
  if (existsSync(folder)) return { model: folder };
  return BUNDLED.includes(model) ? { model: join(PACKAGE_ROOT, "assets", model), ...BUNDLED_QUESTION } : { model };
}
