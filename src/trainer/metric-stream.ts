/**
 * Ratings of any number of inputs, in their order, with two batches at hand: one with the model, one being read.
 *
 * @module
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { DataError } from "../errors.js";
import { checkCount } from "./metric-options.js";
import type { MetricInput, Placed, Rater, Rating } from "./metric-rater.js";

export interface ScoreOptions {
  /**
   * Pictures that go to the model together. While they are there, as many more inputs are taken and their pictures read. An
   * input that waits for the last one's rating needs 1, for which nothing is taken ahead. Default 8.
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

/** What `Metric.score` does. @throws DataError METRIC_INPUT for what is neither path nor bytes */
export async function* streamRatings(
  inputs: Iterable<MetricInput> | AsyncIterable<MetricInput>,
  rate: Rater,
  { batch = 8, start = 0, signal }: ScoreOptions,
): AsyncGenerator<Rating, void, undefined> {
  checkCount("batch", batch);
  // Both can be iterated, into characters and numbers.
  if (isInput(inputs))
    throw wrongInput("score takes a list of pictures, and was given a single one. Put it into a list");
  const left = new AbortController();
  const stop = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]);
  const batches = batchesOf(inputs, batch, start);
  let taking = false;
  /** The next batch, on its way to its ratings; null behind the last one. */
  const begin = async (): Promise<{ readonly ratings: Promise<Rating[]> } | null> => {
    taking = true;
    const next = await batches.next();
    taking = false;
    return next.done === true ? null : { ratings: awaitedLater(rate(next.value, stop)) };
  };
  try {
    let current = await begin();
    while (current !== null) {
      const following: ReturnType<typeof begin> | undefined = batch === 1 ? undefined : awaitedLater(begin());
      yield* await current.ratings;
      current = await (following ?? begin());
    }
  } catch (error) {
    // What fails because of it is told as what it is.
    signal?.throwIfAborted();
    throw error;
  } finally {
    left.abort();
    const closed = awaitedLater(batches.return());
    // An input that is being waited for may never come, and is then closed by nobody.
    await (taking ? Promise.race([closed, nextTurn()]) : closed);
  }
}

/** Its rejection is seen when its turn comes, and is none that nobody handles until then. */
function awaitedLater<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

async function* batchesOf(
  inputs: Iterable<MetricInput> | AsyncIterable<MetricInput>,
  size: number,
  start: number,
): AsyncGenerator<Placed[], void, undefined> {
  let position = start;
  let waiting: Placed[] = [];
  for await (const input of inputs) {
    if (!isInput(input)) throw wrongInput(`input ${position} is ${typeof input}. Give a path, or the bytes of a file`);
    waiting.push({ input, position });
    position += 1;
    if (waiting.length < size) continue;
    yield waiting;
    waiting = [];
  }
  if (waiting.length > 0) yield waiting;
}

function isInput(value: unknown): value is MetricInput {
  return typeof value === "string" || value instanceof Uint8Array;
}

function wrongInput(message: string): DataError {
  return new DataError("METRIC_INPUT", `${message}.`);
}
