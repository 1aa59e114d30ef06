/**
 * Evaluation of supervised fine-tuning on held-out rows: the loss of their answers, and the model's own ratings where rows
 * have a MOS to compare with.
 *
 * @module
 */
import type { ResolvedSftConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import type { Policy } from "../policy/index.js";
import { evaluateRows } from "./evaluation/index.js";
import type { HeldOutEvaluation } from "./events.js";
import { ratingOptions } from "./hold-out.js";
import { toNllBatch } from "./nll-batch.js";
import { encodeExamples, withoutLastAnswer } from "./sft-examples.js";

/** Rows encoded in one go. Their pictures are not pinned, so that a large held-out set never fills the worker's cache. */
const ROWS_PER_CALL = 64;

/** Options of `evaluateSft`. */
export interface EvaluateSftOptions {
  readonly config: ResolvedSftConfig;
  /** Names the draws. */
  readonly step: number;
  readonly signal?: AbortSignal | undefined;
}

/** @param heldOut at least one row */
export async function evaluateSft(
  policy: Policy<Row>,
  heldOut: readonly Row[],
  { config, step, signal }: EvaluateSftOptions,
): Promise<Omit<HeldOutEvaluation, "step">> {
  const loss = await answerLoss(policy, heldOut, { maxSeqLength: config.max_seq_length, signal });
  const rated = heldOut.filter((row) => row.mos !== undefined).map(withoutLastAnswer);
  if (rated.length === 0) return { results: [], loss };
  const { results } = await evaluateRows(policy, rated, { ...ratingOptions(config), step, signal });
  return { results, loss };
}

/** Mean negative log-likelihood per answer token, in nats, over all rows. */
async function answerLoss(
  policy: Policy<Row>,
  rows: readonly Row[],
  options: { readonly maxSeqLength: number | null; readonly signal: AbortSignal | undefined },
): Promise<number> {
  let sum = 0;
  let tokens = 0;
  for (let first = 0; first < rows.length; first += ROWS_PER_CALL) {
    const examples = await encodeExamples(policy, rows.slice(first, first + ROWS_PER_CALL), options);
    const logprobs = await policy.logprobs(toNllBatch(examples), options.signal ? { signal: options.signal } : {});
    for (const answer of logprobs.flat()) {
      sum -= answer.reduce((total, one) => total + one, 0);
      tokens += answer.length;
    }
  }
  return sum / tokens;
}
