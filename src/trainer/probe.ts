/**
 * A dry step on the real model: sample, score, differentiate, and leave the weights as they were.
 *
 * @module
 */
import type { ConfigInput, ResolvedConfig } from "../config/index.js";
import { closeRewards, openRewards } from "../rewards/index.js";
import { completionMetrics, rewardMetrics, rolloutMetrics } from "./metrics.js";
import type { MetricValues } from "./metrics.js";
import { openPolicy } from "./open-policy.js";
import { forecastTraining, refuseTooLarge, tellUnchecked, withForecast } from "./memory-forecast.js";
import { prepareRun } from "./prepare.js";
import { rollOut, spreadAdvantages } from "./rollout.js";
import { rolloutRecords } from "./rollout-records.js";
import { grpoObjective } from "./train.js";
import type { TrainOptions } from "./train.js";
import { valueRollout } from "./valuation.js";
import { rewardsInForce } from "./warm-up.js";

/** What the dry step showed. */
export interface ProbeResult {
  /** One record per completion of the first rollout batch, as in the run folder but for what only a replay reads. */
  readonly completions: readonly Record<string, unknown>[];
  /** [P][G]; zeros for a group that was left out. */
  readonly advantages: readonly (readonly number[])[];
  /** Of the rollout batch; `loss` is that of the first update. */
  readonly metrics: MetricValues;
  /** Wall seconds of each stage; the model is loaded in "load", and "forwardBackward" is of the first update alone. */
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

  const { signal } = options;
  const prepared = await prepareRun(config, options.rewards);
  const forecast = await forecastTraining(prepared);
  refuseTooLarge(forecast);
  tellUnchecked(forecast, options);
  const resolved = withForecast(prepared, forecast).config;
  await openRewards(prepared.rewards, { ...(signal && { signal }) });
  await using _closed = { [Symbol.asyncDispose]: () => closeRewards(prepared.rewards) };
  const customRewards = prepared.rewards.map(({ name }) => name);
  await using policy = await timed("load", () => openPolicy(resolved, { ...options, customRewards }));
  const prompts = await timed("encode", async () =>
    policy.encode(await prepared.sampler.at(1), { step: 1, ...(signal && { signal }) }),
  );
  const objective = { ...grpoObjective(prepared, { policy, signal }), rewards: rewardsInForce(prepared) };
  let since = performance.now();
  const lap = (stage: "generate" | "rewards" | "logprobs"): void => {
    const now = performance.now();
    seconds[stage] += (now - since) / 1000;
    since = now;
  };
  const rolled = await rollOut(objective, 1, prompts, {
    onProgress: () => undefined,
    onRollout: () => lap("generate"),
    onRewards: () => lap("rewards"),
  });
  const valued = await valueRollout(objective, rolled, {
    onScored: () => undefined,
    onCorrected: () => lap("logprobs"),
  });
  const { kept, parts, loss } = valued;
  const losses = await timed("forwardBackward", () =>
    policy.forwardBackward(parts[0]!, loss, { ...(signal && { signal }) }),
  );
  await policy.discard();
  const { groups, scored } = rolled;
  return {
    completions: rolloutRecords(groups, scored, resolved.reference_parity),
    advantages: spreadAdvantages(groups, kept.groups, valued.advantages),
    metrics: {
      ...rewardMetrics(scored),
      ...completionMetrics(groups, resolved.reference_parity),
      ...rolloutMetrics(rolled, kept, resolved),
      ...valued.metrics,
      loss: losses.loss,
    },
    seconds,
  };
}
