/**
 * Which model is asked and how: what `thurstone score`, `thurstone compare` and `thurstone serve` take in common.
 *
 * @module
 */
import { Option } from "commander";
import type { Command as Program } from "commander";
import { findModel } from "../../trainer/index.js";
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
  expectedAfter: true,
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

/** What `--model` takes. */
export const MODEL_HELP = "folder, rated | part | zero (thurstone score --list-models), or a hub id";

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
    .addOption(
      new Option(
        "--expected-after <place>",
        "expected: behind the model's own greedy thinking, or a forced answer tag [prefix; bundled models: thinking]",
      ).choices(["thinking", "prefix"]),
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
  expectedAfter,
  samples,
  seed,
  temperature,
  maxCompletionLength,
}: MetricFlags): string | null {
  const written = expectedAfter === "thinking" ? undefined : maxCompletionLength;
  if (mode === "expected" && (samples ?? seed ?? temperature ?? written) !== undefined) {
    return "--samples, --seed, --temperature and --max-completion-length belong to --mode fast and reasoning: the expected score is over all answers, and draws none";
  }
  if (mode !== "expected" && expectedAfter !== undefined) return "--expected-after belongs to --mode expected";
  const draws = samples !== undefined || (seed ?? temperature) === undefined;
  return draws ? null : "--seed and --temperature belong to sampled answers: give --samples as well";
}

/**
 * Options of a metric. A bundled model keeps its own question, whatever the mode.
 *
 * @param anyName the worker is somewhere else, and may know names that are not known here
 * @throws ConfigError METRIC_MODEL for a name of which nothing is known
 */
export function metricOptions(model: string, flags: MetricFlags, cwd: string, anyName = false): MetricOptions {
  const { mode, ...asked } = metricFlagsOf(flags);
  const found = findModel(model, { cwd, anyName });
  return {
    ...(found.bundled === null && mode === "fast" && { questionTemplate: "scoring_non_thinking" }),
    model: found.model,
    ...asked,
    mode: mode === "expected" ? "expected" : asked.samples === undefined ? "greedy" : "sampled",
  };
}
