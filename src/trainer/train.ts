/**
 * `train`: a whole GRPO run, from a configuration to a run folder and an exported checkpoint.
 *
 * @module
 */
import type { ConfigInput, ResolvedConfig } from "../config/index.js";
import type { CurriculumFunction, Row } from "../data/index.js";
import type { Prompt } from "../policy/index.js";
import { closeRewards, openRewards } from "../rewards/index.js";
import type { RewardRecord } from "../rewards/index.js";
import { evaluateRows } from "./evaluation/index.js";
import type { StepMetrics } from "./events.js";
import { grpoStep } from "./grpo.js";
import type { GrpoObjective } from "./grpo.js";
import { ratingOptions } from "./hold-out.js";
import { forecastTraining, refuseTooLarge, tellUnchecked, withForecast } from "./memory-forecast.js";
import type { Recipe, Run } from "./milestones.js";
import { openPolicy } from "./open-policy.js";
import type { OpenPolicyOptions } from "./open-policy.js";
import { advantageOptions, configuredObjective } from "./objective.js";
import { fidelityOptions, prepareRun, scheduleOf } from "./prepare.js";
import type { PreparedRun } from "./prepare.js";
import { createRecorder } from "./recorder.js";
import { startTraining } from "./run-loop.js";
import type { RunKind, RunOptions } from "./run-loop.js";
import type { TrainingRun } from "./training-run.js";
import { advanceWarmup, rewardsInForce } from "./warm-up.js";

/** Options of `train`. */
export interface TrainOptions extends RunOptions<StepMetrics> {
  /** Rewards by name with their weights; replaces `reward_funcs` and `reward_weights`. */
  readonly rewards?: RewardRecord;
  /** Sorts every pass over the rows; replaces `curriculum_key`. */
  readonly curriculum?: CurriculumFunction;
}

/**
 * Trains a model with GRPO. The run starts at once and goes on whether or not its events are read.
 *
 * @param config keys as in a YAML file
 */
export function train(config: ConfigInput | ResolvedConfig, options: TrainOptions = {}): TrainingRun {
  return startTraining(grpoKind(config, options), options);
}

/** A run of `train`, before anything of it has begun. */
export function grpoKind(
  config: ConfigInput | ResolvedConfig,
  options: Omit<TrainOptions, "callbacks"> & Pick<OpenPolicyOptions, "writable">,
): RunKind<StepMetrics, PreparedRun, Prompt<Row>[]> {
  return {
    prepare: async () => {
      const prepared = await prepareRun(config, options.rewards, options.curriculum);
      const forecast = await forecastTraining(prepared);
      refuseTooLarge(forecast);
      tellUnchecked(forecast, options);
      await openRewards(prepared.rewards, options);
      return withForecast(prepared, forecast);
    },
    release: ({ rewards }) => closeRewards(rewards),
    open: (prepared, signal) =>
      openPolicy(prepared.config, {
        ...options,
        ...(signal && { signal }),
        customRewards: prepared.rewards.map(({ name }) => name),
      }),
    recipe: grpoRecipe,
  };
}

function grpoRecipe(run: Run<StepMetrics>, prepared: PreparedRun): Recipe<StepMetrics, Prompt<Row>[]> {
  const { config, sampler, heldOut } = prepared;
  const { policy, state, signal } = run;
  const recorder = createRecorder(run, config);
  const objective = grpoObjective(prepared, run);
  return {
    recorder,
    encode: async (rollout) =>
      policy.encode(await sampler.at(rollout), {
        step: rollout,
        onPicture: (picture) => recorder.onPicture(picture),
        ...(signal && { signal }),
      }),
    async step(rollout, prompts) {
      const rewards = rewardsInForce(prepared, state.fidelityWarmup);
      const batch = await grpoStep({ ...objective, rewards }, rollout, prompts, recorder);
      advanceWarmup(run, batch, config);
    },
    async evaluate() {
      const { results } = await evaluateRows(policy, heldOut, {
        ...ratingOptions(config),
        step: state.rollout + 1,
        referenceParity: config.reference_parity,
        fidelity: fidelityOptions(config),
        signal,
      });
      return { results };
    },
  };
}

/** What stays the same over the run. */
export function grpoObjective(
  prepared: PreparedRun,
  { policy, signal }: Pick<Run<StepMetrics>, "policy" | "signal">,
): Omit<GrpoObjective, "rewards"> {
  const { config, plan } = prepared;
  return {
    policy,
    samples: config.num_generations,
    advantages: advantageOptions(config),
    tries: config.dynamic_sampling ? config.dynamic_sampling_tries : 0,
    dropZeroVariance: config.drop_zero_variance_groups,
    ...configuredObjective(config),
    maxCompletionLength: config.max_completion_length,
    updates: plan.updatesPerRollout / config.num_iterations,
    iterations: config.num_iterations,
    schedule: scheduleOf(prepared),
    signal,
  };
}
