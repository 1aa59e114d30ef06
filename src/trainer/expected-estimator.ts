/**
 * The expected score asked of a model: behind a forced answer tag, or behind the model's own greedy thinking.
 *
 * @module
 */
import type { Policy, Prompt, TrainBatch } from "../policy/index.js";
import { askGreedy } from "./estimators.js";
import type { Estimate, Estimator } from "./estimators.js";
import {
  answerLogprobs,
  branchCandidates,
  branches,
  expectedScore,
  scoreAnswers,
  scoreTokens,
} from "./expected-score.js";

/** An expected score needs the model to answer in the form D.TH at least as often as not. */
const LEAST_VALID_MASS = 0.5;
const ANSWER_TAG = "<answer>";

/**
 * A model's own greedy text up to the tag behind which it writes its answer, that tag included: the last one that is closed,
 * or the last one at all.
 *
 * A text, which is turned into tokens again, and not the greedy answer's own tokens: where a tokenizer joins the end of the
 * tag with what follows, the tag ends inside of one of them. Where a model has written a text in other tokens than its
 * tokenizer would, its distribution is therefore read behind the tokenizer's.
 *
 * @returns null for a text without such a tag
 */
export function thoughtsOf(text: string): string | null {
  const closing = text.lastIndexOf("</answer>");
  const opening = text.lastIndexOf(ANSWER_TAG, closing < 0 ? text.length : closing);
  return opening < 0 ? null : text.slice(0, opening + ANSWER_TAG.length);
}

/** Expected scores of prompts, each behind a text of its own. */
export type ExpectedEstimator<R> = (
  prompts: readonly Prompt<R>[],
  options?: {
    /**
     * Per prompt the beginning of the answer, answer tag included; null gives no score. Default: the answer tag alone, which
     * asks for an answer without thinking.
     */
    readonly thoughts?: readonly (string | null)[];
    readonly signal?: AbortSignal | undefined;
  },
) => Promise<Estimate[]>;

/**
 * The expected score at temperature 1. Each prompt is read once; its 50 branches of three tokens share it.
 *
 * @throws ConfigError METRIC_TOKENIZER where a digit is no token of its own
 */
export async function expectedEstimator<R>(policy: Policy<R>): Promise<ExpectedEstimator<R>> {
  const [tag, ...whole] = await policy.tokenize([ANSWER_TAG, ...scoreAnswers.map(({ text }) => ANSWER_TAG + text)]);
  const tokens = scoreTokens(tag!, whole);
  const candidates = branchCandidates(tokens);
  const none = new Float32Array(0);
  const sequences = branches(tokens).map((tokenIds) => ({ tokenIds, advantages: none, weights: none }));
  return async (prompts, { thoughts = prompts.map(() => ANSWER_TAG), signal } = {}) => {
    const asked = prompts.map((prompt, index) => ({ prompt, thought: thoughts[index] ?? null }));
    const answered = asked.filter((one): one is { prompt: Prompt<R>; thought: string } => one.thought !== null);
    if (answered.length === 0) return asked.map(() => WITHOUT_ANSWER);
    const prefixes = await policy.tokenize(answered.map(({ thought }) => thought));
    const batch: TrainBatch = {
      id: "expected-score",
      groups: answered.map(({ prompt: { tokenIds, images } }, index) => ({
        promptIds: joined(tokenIds, prefixes[index]!),
        images,
        firstIndex: index * sequences.length,
        sequences,
      })),
    };
    const read = (await policy.candidates(batch, candidates, { ...(signal && { signal }) })).map(readDistribution);
    const estimates = read.values();
    return asked.map(({ thought }) => (thought === null ? WITHOUT_ANSWER : estimates.next().value!));
  };
}

/** The expected score behind the model's own greedy thinking. @throws ConfigError METRIC_TOKENIZER */
export async function thoughtfulEstimator<R>(policy: Policy<R>): Promise<Estimator<R>> {
  const expected = await expectedEstimator(policy);
  return async (prompts, signal) => {
    const greedy = await askGreedy(policy, prompts, signal);
    return expected(prompts, { thoughts: greedy.map(({ completions }) => thoughtsOf(completions[0]!.text)), signal });
  };
}

const WITHOUT_ANSWER: Estimate = {
  score: null,
  std: null,
  scores: [],
  status: "failed",
  reason: `the model's own greedy text holds no ${ANSWER_TAG}, so there is no place at which to read its answer.`,
};

function joined(first: Int32Array, second: Int32Array): Int32Array {
  const both = new Int32Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function readDistribution(logprobs: readonly Float32Array[]): Estimate {
  const answers = answerLogprobs(logprobs);
  const { score, std, validMass } = expectedScore(
    scoreAnswers.map((answer, index) => ({ score: answer.score, logprob: answers[index]! })),
  );
  if (validMass >= LEAST_VALID_MASS) return { score, std, scores: [], status: "ok", validMass };
  const reason = `behind ${ANSWER_TAG} the model writes a score of the form D.TH with a probability of ${Number(validMass.toPrecision(3))} only, and at least ${LEAST_VALID_MASS} is needed.`;
  return { score: null, std: null, scores: [], status: "failed", reason, validMass };
}
