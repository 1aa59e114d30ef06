/**
 * A dry step on the real model: sample, score, differentiate, and leave the weights as they were.
 *
 * @module
 */
import { groupAdvantages } from "../advantages/index.js";
import type { ConfigInput, ResolvedConfig } from "../config/index.js";
import { scoreRewards } from "../rewards/index.js";
import { correct, measure } from "./corrections.js";
import { completionMetrics, rewardMetrics } from "./metrics.js";
import type { MetricValues } from "./metrics.js";
import { configuredObjective } from "./objective.js";
import { openPolicy } from "./open-policy.js";
import { prepareRun } from "./prepare.js";
import { rolloutRecords } from "./rollout-records.js";
import type { TrainOptions } from "./train.js";
import { toTrainBatch } from "./train-batch.js";
import { rewardsInForce } from "./warm-up.js";

/** What the dry step showed. */
export interface ProbeResult {
  /** One record per completion of the first rollout batch, as in the run folder. */
  readonly completions: readonly Record<string, unknown>[];
  /** [P][G] */
  readonly advantages: readonly (readonly number[])[];
  readonly metrics: MetricValues;
  /** Wall seconds of each stage; the model is loaded in "load". */
  readonly seconds: Readonly<
    Record<"load" | "encode" | "generate" | "rewards" | "logprobs" | "forwardBackward", number>
  >;
}

/** Runs the first step of the configuration without an update and without a run folder. */
export async function probe(config: ConfigInput | ResolvedConfig, options: TrainOptions = {}): Promise<ProbeResult> {
  const seconds = { load: 0, encode: 0, generate: 0, rewards: 0, logprobs: 0, forwardBackward: 0 };
  const timed = async <T>(stage: keyof typeof seconds, work: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    const result = await work();
    seconds[stage] = (performance.now() - started) / 1000;
    return result;
  };

  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const prepared = await prepareRun(config, options.rewards);
  const resolved = prepared.config;
  const customRewards = prepared.rewards.map(({ name }) => name);
  await using policy = await timed("load", () => openPolicy(resolved, { ...options, customRewards }));
  const prompts = await timed("encode", async () =>
    policy.encode(await prepared.sampler.at(1), { step: 1, ...signal }),
  );
  const groups = await timed("generate", () =>
    policy.generate(prompts, { samples: resolved.num_generations, step: 1, ...signal }),
  );
  const scored = await timed("rewards", () => scoreRewards(groups, rewardsInForce(prepared), { step: 1, ...signal }));
  const { loss, normaliser, corrections } = configuredObjective(resolved);
  const measured = await timed("logprobs", () => measure(policy, groups, { corrections, store: false, ...signal }));
  const corrected = correct(groups, scored.totals, measured, corrections);
  const advantages = groupAdvantages(corrected.totals, { scale: resolved.scale_rewards });
  const batch = toTrainBatch(groups, advantages, {
    normaliser,
    maxCompletionLength: resolved.max_completion_length,
    ...corrected,
  });
  const losses = await timed("forwardBackward", () => policy.forwardBackward(batch, loss, signal));
  await policy.discard();
  return {
    completions: rolloutRecords(groups, scored, resolved.reference_parity),
    advantages,
    metrics: {
      ...rewardMetrics(scored),
      ...completionMetrics(groups, resolved.reference_parity),
      ...corrected.metrics,
      loss: losses.loss,
    },
    seconds,
  };
}
