/**
 * Three ways to a picture's score, which are never mixed: the mean of sampled answers, one greedy answer, and the expected
 * score over all answers of the form D.TH.
 *
 * @module
 */
import type { Completion, Policy, Prompt, TrainBatch } from "../policy/index.js";
import { parseScore } from "../rewards/index.js";
import type { ParseStatus } from "../rewards/index.js";
import { mean, standardDeviation } from "../stats/index.js";
import { answerTokens, expectedScore, scoreAnswers } from "./expected-score.js";

/** What came out for one picture. Nothing is ever substituted: no score is null, with the reason. */
export interface Estimate {
  /** 1 to 5, higher is better; null when failed. */
  readonly score: number | null;
  /**
   * sampled: standard deviation of the valid answers, null for fewer than two. expected: that of the distribution. greedy:
   * null.
   */
  readonly std: number | null;
  /** Score of each answer in order, null where it could not be read; empty for expected, which writes none. */
  readonly scores: readonly (number | null)[];
  /** "clamped": an answer was outside 1 to 5 and counts as the nearer end. */
  readonly status: ParseStatus;
  /** Why there is no score. */
  readonly reason?: string;
  /** Expected only: probability that the model writes a score of the form D.TH from 1.00 to 5.99 at all. */
  readonly validMass?: number;
  /** Greedy only: the answer as it was written. */
  readonly text?: string;
}

/** @returns one estimate per prompt, in their order */
export type Estimator<R> = (prompts: readonly Prompt<R>[], signal: AbortSignal | undefined) => Promise<Estimate[]>;

/** Draws are named by a prompt's place in the input alone. */
const STEP = 0;
/** An expected score needs the model to answer in the form D.TH at least as often as not. */
const LEAST_VALID_MASS = 0.5;
const ANSWER_TAG = "<answer>";
/** Characters of an unreadable answer that a reason cites. */
const CITED = 80;

/** One greedy answer per picture. */
export function greedyEstimator<R>(policy: Policy<R>): Estimator<R> {
  return async (prompts, signal) => {
    const groups = await policy.generate(prompts, {
      samples: 1,
      step: STEP,
      stream: "eval",
      temperature: 0,
      ...(signal && { signal }),
    });
    return groups.map(({ completions }) => ({ ...readAnswers(completions), text: completions[0]!.text }));
  };
}

/** The mean of the answers that can be read, out of `samples`, drawn as the policy is configured. */
export function sampledEstimator<R>(policy: Policy<R>, samples: number): Estimator<R> {
  return async (prompts, signal) => {
    const groups = await policy.generate(prompts, { samples, step: STEP, stream: "eval", ...(signal && { signal }) });
    return groups.map(({ completions }) => readAnswers(completions));
  };
}

/**
 * The expected score behind a forced answer tag, at the policy's temperature.
 *
 * Costs 500 answers of four tokens per picture through `logprobs`: on the padded path each of them brings its prompt along.
 *
 * @throws ConfigError METRIC_TOKENIZER where a digit is no token of its own
 */
export async function expectedEstimator<R>(policy: Policy<R>): Promise<Estimator<R>> {
  const [prefix, ...whole] = await policy.tokenize([ANSWER_TAG, ...scoreAnswers.map(({ text }) => ANSWER_TAG + text)]);
  const sequences = answerTokens(prefix!, whole).map((tokenIds) => ({
    tokenIds,
    advantages: new Float32Array(tokenIds.length),
    weights: new Float32Array(tokenIds.length),
  }));
  return async (prompts, signal) => {
    const batch: TrainBatch = {
      id: "expected-score",
      groups: prompts.map(({ tokenIds, images }, index) => ({
        promptIds: joined(tokenIds, prefix!),
        images,
        firstIndex: index * sequences.length,
        sequences,
      })),
    };
    const logprobs = await policy.logprobs(batch, { ...(signal && { signal }) });
    return logprobs.map(readDistribution);
  };
}

function joined(first: Int32Array, second: Int32Array): Int32Array {
  const both = new Int32Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** @param tokens [500][4] */
function readDistribution(tokens: readonly Float32Array[]): Estimate {
  const { score, std, validMass } = expectedScore(
    scoreAnswers.map((answer, index) => ({
      score: answer.score,
      logprob: tokens[index]!.reduce((total, logprob) => total + logprob, 0),
    })),
  );
  if (validMass >= LEAST_VALID_MASS) return { score, std, scores: [], status: "ok", validMass };
  const reason = `behind ${ANSWER_TAG} the model writes a score of the form D.TH with a probability of ${Number(validMass.toPrecision(3))} only, and at least ${LEAST_VALID_MASS} is needed.`;
  return { score: null, std: null, scores: [], status: "failed", reason, validMass };
}

function readAnswers(completions: readonly Completion[]): Estimate {
  const parsed = completions.map(({ text }) => parseScore(text));
  const scores = parsed.map(({ score }) => score);
  const valid = scores.filter((score) => score !== null);
  if (valid.length === 0) return { score: null, std: null, scores, status: "failed", reason: unreadable(completions) };
  const status = parsed.some((one) => one.status === "clamped") ? "clamped" : "ok";
  return { score: mean(valid), std: standardDeviation(valid), scores, status };
}

function unreadable(completions: readonly Completion[]): string {
  const cut = completions.filter(({ finishReason }) => finishReason === "length").length;
  const lengths = cut === 0 ? "" : ` ${cut} were cut at the greatest length.`;
  const cited = JSON.stringify(completions[0]!.text.slice(0, CITED));
  return `no score could be read from any of ${completions.length} answers; the first begins ${cited}.${lengths}`;
}
