/**
 * A trained model as a metric: pictures in, ratings out, in the same order.
 *
 * A picture that cannot be read, and an answer that cannot be understood, give no score and a reason; the stream goes on.
 *
 * @module
 */
import { resolve } from "node:path";
import type { Row } from "../data/index.js";
import { DataError } from "../errors.js";
import type { EncodeOptions, ModelDescription, Policy, Prompt } from "../policy/index.js";
import { ratingQuestion } from "../prompts/index.js";
import { SCORE_RANGE } from "../rewards/index.js";
import { greedyEstimator, sampledEstimator } from "./estimators.js";
import type { Estimate, Estimator } from "./estimators.js";
import { expectedEstimator } from "./expected-estimator.js";
import { checkCount, checkMetricOptions, metricConfig } from "./metric-options.js";
import type { MetricMode, MetricOptions } from "./metric-options.js";
import { openPolicy } from "./open-policy.js";

/** A picture to score: the path of its file, or the file's bytes. */
export type MetricInput = string | Uint8Array;

/** What came out for one picture. */
export interface Rating extends Estimate {
  /** The path as it was given, or "bytes:<n>" for the input at position n, from 0. */
  readonly id: string;
  /** Beside `reason`, for programs: a DATA_IMAGE_ code, or METRIC_NO_SCORE where the model's answer holds no score. */
  readonly code?: string;
}

export interface ScoreOptions {
  /**
   * Pictures that go to the model together; as many inputs are taken before the first rating comes. An input that waits for
   * the last one's rating needs 1. Default 8.
   */
  readonly batch?: number;
  /**
   * Position of the first input: names the draws of sampled answers. What continues an interrupted stream gives the number
   * of inputs before. Default 0.
   */
  readonly start?: number;
  /** Ends the stream with the signal's reason, at the next boundary. */
  readonly signal?: AbortSignal;
}

/** A model that rates pictures. Close it, or use `await using`. */
export interface Metric extends AsyncDisposable {
  readonly mode: MetricMode;
  /** Higher scores are better. */
  readonly lowerBetter: false;
  readonly scoreRange: readonly [1, 5];
  /** What the checkpoint turned out to be. */
  readonly model: ModelDescription;
  /**
   * Ratings in the order of the inputs. Scoring the same inputs again gives the same ratings; an expected score does not
   * depend on `batch` either, the others to the last bits of the model's arithmetic.
   *
   * @throws DataError METRIC_INPUT for what is neither path nor bytes
   */
  score(inputs: Iterable<MetricInput> | AsyncIterable<MetricInput>, options?: ScoreOptions): AsyncIterable<Rating>;
  close(): Promise<void>;
}

/**
 * Starts a worker and loads a checkpoint into it, for inference only.
 *
 * @throws ConfigError METRIC_OPTION, METRIC_TOKENIZER, and what a configuration is refused for
 */
export async function createMetric(options: MetricOptions): Promise<Metric> {
  checkMetricOptions(options);
  const pictures = new Map<string, Uint8Array>();
  const { connect, onStderr, signal, mode = "expected" } = options;
  const policy = await openPolicy(metricConfig(options), {
    inference: true,
    pictures,
    ...(connect && { connect }),
    ...(onStderr && { onStderr }),
    ...(signal && { signal }),
  });
  try {
    const rate = createRater(policy, await estimatorOf(policy, options), pictures, options.question ?? ratingQuestion);
    return {
      mode,
      lowerBetter: false,
      scoreRange: [SCORE_RANGE.minimum, SCORE_RANGE.maximum],
      model: policy.description,
      score: (inputs, scoring = {}) => stream(inputs, rate, scoring),
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
  { mode = "expected", samples = 6 }: MetricOptions,
): Promise<Estimator<Row>> {
  if (mode === "expected") {
    const expected = await expectedEstimator(policy);
    return (prompts, signal) => expected(prompts, { signal });
  }
  return mode === "greedy" ? greedyEstimator(policy) : sampledEstimator(policy, samples);
}

/** An input with its position. */
interface Placed {
  readonly input: MetricInput;
  readonly position: number;
}

/** A picture that cannot be read. */
type Failure = Omit<Rating, "id"> & { readonly code: string };

type Rater = (inputs: readonly Placed[], signal: AbortSignal | undefined) => Promise<Rating[]>;

async function* stream(
  inputs: Iterable<MetricInput> | AsyncIterable<MetricInput>,
  rate: Rater,
  { batch = 8, start = 0, signal }: ScoreOptions,
): AsyncGenerator<Rating, void, undefined> {
  checkCount("batch", batch);
  // Both can be iterated, into characters and numbers.
  if (isInput(inputs))
    throw wrongInput("score takes a list of pictures, and was given a single one. Put it into a list");
  let position = start;
  let waiting: Placed[] = [];
  for await (const input of inputs) {
    if (!isInput(input)) throw wrongInput(`input ${position} is ${typeof input}. Give a path, or the bytes of a file`);
    waiting.push({ input, position });
    position += 1;
    if (waiting.length < batch) continue;
    yield* await rate(waiting, signal);
    waiting = [];
  }
  if (waiting.length > 0) yield* await rate(waiting, signal);
}

function isInput(value: unknown): value is MetricInput {
  return typeof value === "string" || value instanceof Uint8Array;
}

function wrongInput(message: string): DataError {
  return new DataError("METRIC_INPUT", `${message}.`);
}

/** @param pictures where the policy looks up pictures that are no files; emptied after each batch */
function createRater(
  policy: Policy<Row>,
  estimate: Estimator<Row>,
  pictures: Map<string, Uint8Array>,
  question: string,
): Rater {
  let batches = 0;
  let given = 0;

  /** A picture in memory gets a name of its own, because several streams may run at once. */
  function rowOf({ input, position }: Placed): Row {
    const name = typeof input === "string" ? resolve(input) : `bytes ${(given += 1)}`;
    if (typeof input !== "string") pictures.set(name, input);
    return {
      id: typeof input === "string" ? input : `bytes:${position}`,
      dataset: "metric",
      images: [name],
      messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: question }] }],
      source: { file: 0, line: position + 1 },
      extra: {},
    };
  }

  /** Together where all can be read; one that cannot must not take the others with it. */
  async function readAll(rows: readonly Row[], options: EncodeOptions): Promise<(Prompt<Row> | Failure)[]> {
    const together = await policy.encode(rows, options).catch(pictureFailure);
    if (Array.isArray(together)) return together;
    const read: (Prompt<Row> | Failure)[] = [];
    for (const row of rows) read.push(await policy.encode([row], options).then(([prompt]) => prompt!, pictureFailure));
    return read;
  }

  return async (inputs, signal) => {
    signal?.throwIfAborted();
    batches += 1;
    const rows = inputs.map(rowOf);
    const options = { step: batches, ...(signal && { signal }) };
    try {
      const read = await readAll(rows, options);
      const estimates = (await estimate(read.filter(isPrompt), signal)).values();
      return rows.map(({ id }, index) => {
        const one = read[index]!;
        return { id, ...(isPrompt(one) ? coded(estimates.next().value!) : one) };
      });
    } finally {
      for (const row of rows) pictures.delete(row.images[0]!);
    }
  };
}

function isPrompt(value: Prompt<Row> | Failure): value is Prompt<Row> {
  return "tokenIds" in value;
}

/** Rethrows what is not about the picture itself. */
function pictureFailure(error: unknown): Failure {
  if (!(error instanceof DataError) || !error.code.startsWith("DATA_IMAGE_")) throw error;
  // The outer error also names a row of a data file, and a metric has none.
  const { message } = error.cause instanceof DataError ? error.cause : error;
  return { score: null, std: null, scores: [], status: "failed", code: error.code, reason: message };
}

/** An answer without a score gets a code as well. */
function coded(estimate: Estimate): Omit<Rating, "id"> {
  return estimate.score === null ? { ...estimate, code: "METRIC_NO_SCORE" } : estimate;
}
