/**
 * A trained model as a metric: pictures in, ratings out, in the same order.
 *
 * A picture that cannot be read, and an answer that cannot be understood, give no score and a reason; the stream goes on.
 *
 * @module
 */
import type { Row } from "../data/index.js";
import type { ModelDescription, Policy } from "../policy/index.js";
import { SCORE_RANGE } from "../rewards/index.js";
import { greedyEstimator, sampledEstimator } from "./estimators.js";
import type { Estimator } from "./estimators.js";
import { expectedEstimator, thoughtfulEstimator } from "./expected-estimator.js";
import { checkMetricOptions, fillMetricOptions, metricConfig } from "./metric-options.js";
import type { FilledOptions, MetricMode, MetricOptions } from "./metric-options.js";
import { createRater } from "./metric-rater.js";
import type { MetricInput, Rating } from "./metric-rater.js";
import { streamRatings } from "./metric-stream.js";
import type { ScoreOptions } from "./metric-stream.js";
import { openPolicy } from "./open-policy.js";

/** Files of which a metric remembers size and hash: more than two batches need. */
const REMEMBERED = 1024;

/** A model that rates pictures. Close it, or use `await using`. */
export interface Metric extends AsyncDisposable {
  readonly mode: MetricMode;
  /** Higher scores are better. */
  readonly lowerBetter: false;
  readonly scoreRange: readonly [1, 5];
  /** What the checkpoint turned out to be. */
  readonly model: ModelDescription;
  /**
   * Ratings in the order of the inputs. Scoring the same inputs again gives the same ratings; an expected score behind a
   * prefix does not depend on `batch` either, the others to the last bits of the model's arithmetic.
   *
   * @throws DataError METRIC_INPUT for what is neither path nor bytes
   */
  score(inputs: Iterable<MetricInput> | AsyncIterable<MetricInput>, options?: ScoreOptions): AsyncIterable<Rating>;
  close(): Promise<void>;
}

/**
 * Starts a worker and loads a checkpoint into it, for inference only.
 *
 * @throws ConfigError METRIC_OPTION, METRIC_MODEL, METRIC_TOKENIZER, and what a configuration is refused for
 */
export async function createMetric(asked: MetricOptions): Promise<Metric> {
  checkMetricOptions(asked);
  const options = fillMetricOptions(asked);
  const pictures = new Map<string, Uint8Array>();
  const { connect, onStderr, signal, mode, question } = options;
  const policy = await openPolicy(metricConfig(options), {
    inference: true,
    pictures,
    rememberedPictures: REMEMBERED,
    ...(connect && { connect }),
    ...(onStderr && { onStderr }),
    ...(signal && { signal }),
  });
  try {
    const rate = createRater({ policy, estimate: await estimatorOf(policy, options), pictures, question });
    return {
      mode,
      lowerBetter: false,
      scoreRange: [SCORE_RANGE.minimum, SCORE_RANGE.maximum],
      model: policy.description,
      score: (inputs, scoring = {}) => streamRatings(inputs, rate, scoring),
      close: () => policy.close(),
      [Symbol.asyncDispose]: () => policy.close(),
    };
  } catch (error) {
    await policy.close();
    throw error;
  }
}

async function estimatorOf(
  policy: Policy<Row>,
  { mode, expectedAfter, samples = 6 }: FilledOptions,
): Promise<Estimator<Row>> {
  if (mode === "greedy") return greedyEstimator(policy);
  if (mode === "sampled") return sampledEstimator(policy, samples);
  if (expectedAfter === "thinking") return thoughtfulEstimator(policy);
  const expected = await expectedEstimator(policy);
  return (prompts, signal) => expected(prompts, { signal });
}
