/**
 * From a batch of pictures to their ratings: read, then asked about.
 *
 * While the model works on one batch the next is decoded and sent. There are never more than two, however many streams there
 * are: that bounds the memory, and the worker keeps the pictures of the last two steps only.
 *
 * @module
 */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { Row } from "../data/index.js";
import { DataError } from "../errors.js";
import { createGate } from "../images/index.js";
import type { EncodeOptions, Policy, Prompt } from "../policy/index.js";
import type { Estimate, Estimator } from "./estimators.js";

/** A picture to score: the path of its file, or the file's bytes. */
export type MetricInput = string | Uint8Array;

/** What came out for one picture. */
export interface Rating extends Estimate {
  /** The path as it was given, or "bytes:<n>" for the input at position n, from 0. */
  readonly id: string;
  /** Beside `reason`, for programs: a DATA_IMAGE_ code, or METRIC_NO_SCORE where the model's answer holds no score. */
  readonly code?: string;
}

/** An input with its position. */
export interface Placed {
  readonly input: MetricInput;
  readonly position: number;
}

/** Ratings of a batch in its order; rejects with the signal's reason at the next boundary. */
export type Rater = (inputs: readonly Placed[], signal: AbortSignal) => Promise<Rating[]>;

type ReadOptions = EncodeOptions & { readonly signal: AbortSignal };

/** A picture that cannot be read. */
type Failure = Omit<Rating, "id"> & { readonly code: string };

export interface RaterOptions {
  readonly policy: Policy<Row>;
  readonly estimate: Estimator<Row>;
  /** Where the policy looks up pictures that are no files; those of a batch are taken out after it. */
  readonly pictures: Map<string, Uint8Array>;
  readonly question: string;
}

/** Batches keep the order in which they are given. */
export function createRater({ policy, estimate, pictures, question }: RaterOptions): Rater {
  const places = createGate(2);
  const reading = createGate(1);
  const decoding = createGate(availableParallelism());
  const asking = createGate(1);
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

  /** Each by itself, so that few are in memory decoded, and one that cannot be read takes no others with it. */
  function readOne(row: Row, options: ReadOptions): Promise<Prompt<Row> | Failure> {
    return decoding(() =>
      unlessAborted(options.signal, async () => (await policy.encode([row], options))[0]!).catch(pictureFailure),
    );
  }

  async function rate(inputs: readonly Placed[], signal: AbortSignal): Promise<Rating[]> {
    batches += 1;
    const options = { step: batches, signal };
    const rows = inputs.map(rowOf);
    try {
      const read = await reading(() => Promise.all(rows.map((row) => readOne(row, options))));
      const prompts = read.filter(isPrompt);
      const estimates = (await asking(() => unlessAborted(signal, () => estimate(prompts, signal)))).values();
      return rows.map(({ id }, index) => {
        const one = read[index]!;
        return { id, ...(isPrompt(one) ? coded(estimates.next().value!) : one) };
      });
    } finally {
      for (const row of rows) pictures.delete(row.images[0]!);
    }
  }
  return (inputs, signal) => places(() => rate(inputs, signal));
}

async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  return work();
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
