/**
 * Three ways to a picture's score, which are never mixed: the mean of sampled answers, one greedy answer, and the expected
 * score over all answers of the form D.TH.
 *
 * @module
 */
import type { Completion, GenerateOptions, Policy, Prompt, RolloutGroup } from "../policy/index.js";
import { parseScore } from "../rewards/index.js";
import type { ParsedScore, ParseStatus } from "../rewards/index.js";
import { mean, standardDeviation } from "../stats/index.js";

/**
 * sampled: mean of several answers. greedy: the likeliest answer. expected: mean of the model's distribution over all answers
 * from 1.00 to 5.99. The last two are deterministic.
 */
export type EstimatorName = "sampled" | "greedy" | "expected";

/** All of them, in the order in which they are reported. */
export const estimatorNames: readonly EstimatorName[] = ["sampled", "greedy", "expected"];

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

/** How answers are asked for. */
export interface AnswerOptions {
  /** Answers per picture; 1 with temperature 0 is greedy. */
  readonly samples: number;
  /** Names the draws, beside a prompt's place in its file. Default 0. */
  readonly step?: number | undefined;
  /** Default: as the policy is configured. */
  readonly temperature?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Characters of an unreadable answer that a reason cites. */
const CITED = 80;

/** Answers to each prompt, drawn from the stream of evaluations. */
export function askAnswers<R>(
  policy: Policy<R>,
  prompts: readonly Prompt<R>[],
  { samples, step = 0, temperature, signal }: AnswerOptions,
): Promise<RolloutGroup<R>[]> {
  const options: GenerateOptions = {
    samples,
    step,
    stream: "eval",
    ...(temperature !== undefined && { temperature }),
    ...(signal && { signal }),
  };
  return policy.generate(prompts, options);
}

/** The likeliest answer to each prompt. */
export function askGreedy<R>(
  policy: Policy<R>,
  prompts: readonly Prompt<R>[],
  signal?: AbortSignal,
): Promise<RolloutGroup<R>[]> {
  return askAnswers(policy, prompts, { samples: 1, temperature: 0, signal });
}

/** @returns one estimate per prompt, in their order */
export type Estimator<R> = (prompts: readonly Prompt<R>[], signal: AbortSignal | undefined) => Promise<Estimate[]>;

/** One greedy answer per picture. */
export function greedyEstimator<R>(policy: Policy<R>): Estimator<R> {
  return async (prompts, signal) => {
    const groups = await askGreedy(policy, prompts, signal);
    return groups.map(({ completions }) => greedyEstimate(completions[0]!, parseAnswers(completions)[0]!));
  };
}

/** The mean of the answers that can be read, out of `samples`, drawn as the policy is configured. */
export function sampledEstimator<R>(policy: Policy<R>, samples: number): Estimator<R> {
  return async (prompts, signal) => {
    const groups = await askAnswers(policy, prompts, { samples, signal });
    return groups.map(({ completions }) => sampledEstimate(completions, parseAnswers(completions)));
  };
}

/** The estimate of one greedy answer. */
export function greedyEstimate(completion: Completion, parsed: ParsedScore): Estimate {
  return { ...sampledEstimate([completion], [parsed]), text: completion.text };
}

/** The estimate of several answers: the mean of those that can be read. */
export function sampledEstimate(completions: readonly Completion[], parsed: readonly ParsedScore[]): Estimate {
  const scores = parsed.map(({ score }) => score);
  const valid = scores.filter((score) => score !== null);
  if (valid.length === 0) return { score: null, std: null, scores, status: "failed", reason: unreadable(completions) };
  const status = parsed.some((one) => one.status === "clamped") ? "clamped" : "ok";
  return { score: mean(valid), std: standardDeviation(valid), scores, status };
}

/** Reads every answer of a list. */
export function parseAnswers(completions: readonly Completion[], referenceParity = false): ParsedScore[] {
  return completions.map(({ text }) => parseScore(text, { referenceParity }));
}

function unreadable(completions: readonly Completion[]): string {
  const cut = completions.filter(({ finishReason }) => finishReason === "length").length;
  const lengths = cut === 0 ? "" : ` ${cut} were cut at the greatest length.`;
  const cited = JSON.stringify(completions[0]!.text.slice(0, CITED));
  return `no score could be read from any of ${completions.length} answers; the first begins ${cited}.${lengths}`;
}
