/**
 * `sft`: a whole run of supervised fine-tuning, from a configuration to a run folder and an exported checkpoint.
 *
 * @module
 */
import { sftPassTokens } from "../config/index.js";
import type { ResolvedSftConfig, SftConfigInput } from "../config/index.js";
import type { SftMetrics } from "./events.js";
import { nllMetrics } from "./metrics.js";
import type { Recipe, Run } from "./milestones.js";
import { openModel, partLimit } from "./open-policy.js";
import type { OpenModelOptions } from "./open-policy.js";
import { scheduleOf } from "./prepare.js";
import { startTraining } from "./run-loop.js";
import type { RunKind, RunOptions } from "./run-loop.js";
import { evaluateSft } from "./sft-evaluate.js";
import { encodeExamples } from "./sft-examples.js";
import type { SftExample } from "./sft-examples.js";
import { forecastSft, refuseTooLarge, tellUnchecked, withForecast } from "./memory-forecast.js";
import { prepareSft } from "./sft-prepare.js";
import type { PreparedSft } from "./sft-prepare.js";
import { sftStep } from "./sft.js";
import { createStepRecorder } from "./step-recorder.js";
import type { TrainingRun } from "./training-run.js";

/** Options of `sft`. */
export type SftOptions = RunOptions<SftMetrics>;

/** The loss is that of the model itself; answers of an evaluation are greedy, or drawn from it as it is. */
const PLAIN_SAMPLING = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 } as const;

/**
 * Fine-tunes a model on the answers that the data give. The run starts at once and goes on whether or not its events are
 * read. Loss on answers only (each answer's text and its end-of-turn token), mean over all answer tokens of an update.
 *
 * @param config keys as in a YAML file
 */
export function sft(config: SftConfigInput | ResolvedSftConfig, options: SftOptions = {}): TrainingRun<SftMetrics> {
  return startTraining(sftKind(config, options), options);
}

/** A run of `sft`, before anything of it has begun. */
export function sftKind(
  config: SftConfigInput | ResolvedSftConfig,
  options: Omit<SftOptions, "callbacks"> & Pick<OpenModelOptions, "writable">,
): RunKind<SftMetrics, PreparedSft, SftExample[]> {
  return {
    prepare: async () => {
      const prepared = await prepareSft(config);
      const forecast = await forecastSft(prepared);
      refuseTooLarge(forecast);
      tellUnchecked(forecast, options);
      return withForecast(prepared, forecast);
    },
    open: (prepared, signal) =>
      openModel(prepared.config, { ...options, ...(signal && { signal }), ...modelUse(prepared.config) }),
    recipe: sftRecipe,
  };
}

function modelUse(config: ResolvedSftConfig): Pick<OpenModelOptions, "reference" | "sampling" | "planner"> {
  const planner = {
    ...partLimit(sftPassTokens(config)),
    ...(!(config.packing && config.max_seq_length !== null) && { maxSequences: config.per_device_train_batch_size }),
  };
  return { reference: false, sampling: PLAIN_SAMPLING, planner };
}

function sftRecipe(
  run: Run<SftMetrics>,
  { config, sampler, heldOut, plan }: PreparedSft,
): Recipe<SftMetrics, SftExample[]> {
  const { policy, state, signal } = run;
  const recorder = createStepRecorder(run);
  const objective = { policy, packing: config.packing, schedule: scheduleOf({ config, plan }), signal };
  return {
    recorder,
    encode: async (step) =>
      encodeExamples(policy, await sampler.at(step), { maxSeqLength: config.max_seq_length, step, signal }),
    step: (_, examples) =>
      sftStep(objective, examples, {
        onUpdate: (record) =>
          recorder.finish({
            step: record.step,
            metrics: nllMetrics(record),
            watched: {
              metrics: {},
              constantAnswers: {},
              updateSkipped: record.update.skipped,
              firstOfRollout: true,
            },
            sample: null,
          }),
      }),
    evaluate: () => evaluateSft(policy, heldOut, { config, step: state.rollout + 1, signal }),
  };
}
