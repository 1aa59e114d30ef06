/**
 * The expected score: the mean over all answers of the form D.TH, weighted by how likely the model is to give them.
 *
 * Source: the idea of Q-Align (arXiv 2312.17090) and DeQA-Score (arXiv 2501.11561), which weight words for levels, applied
 * to the digits of a number. The first digit and the tenths branch, and the hundredths are read off behind each of the 50
 * beginnings: nothing is left out, and nothing is sampled.
 *
 * @module
 */
import { ConfigError } from "../errors.js";
import { SCORE_RANGE } from "../rewards/index.js";

/** One of the answers 1.00 to 5.99. What the model would write behind the hundredths is not looked at. */
export interface ScoreAnswer {
  readonly text: string;
  /** Its number; above 5 it counts as 5. */
  readonly score: number;
}

/** Shape of an answer: a digit, a point, two digits. */
const ANSWER_TOKENS = 4;

/** All 500 answers in ascending order. */
export const scoreAnswers: readonly ScoreAnswer[] = Array.from({ length: 500 }, (_, index) => {
  const text = ((100 + index) / 100).toFixed(2);
  return { text, score: Math.min(Number(text), SCORE_RANGE.maximum) };
});

/** What the distribution over the answers comes to. */
export interface ExpectedScore {
  /** Mean of the distribution, given that one of the answers is written; null where none of them has any probability. */
  readonly score: number | null;
  /** Standard deviation of the same distribution; null with the score. */
  readonly std: number | null;
  /** Probability that one of the answers is written: 0 to 1. */
  readonly validMass: number;
}

/**
 * @param answers different answers, in any order; `logprob` is that of the whole answer, in nats
 */
export function expectedScore(answers: readonly { readonly score: number; readonly logprob: number }[]): ExpectedScore {
  const likeliest = Math.max(-Infinity, ...answers.map(({ logprob }) => logprob));
  if (likeliest === -Infinity) return { score: null, std: null, validMass: 0 };

  // Relative to the likeliest one, because the probabilities of an untrained model are too small for their squares.
  const weighted = answers.map(({ score, logprob }) => ({ score, weight: Math.exp(logprob - likeliest) }));
  const total = sum(weighted.map(({ weight }) => weight));
  const score = sum(weighted.map((one) => one.weight * one.score)) / total;
  const variance = sum(weighted.map((one) => one.weight * (one.score - score) ** 2)) / total;
  return { score, std: Math.sqrt(variance), validMass: total * Math.exp(likeliest) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Tokens of which the answers are made. */
export interface ScoreTokens {
  /** [10] id of each digit. */
  readonly digits: Int32Array;
  readonly point: number;
}

/**
 * The tokens of the answers behind a prefix.
 *
 * @param prefix ids of the text in front of the answers
 * @param whole [500] ids of the prefix and the answer together, in the order of `scoreAnswers`
 * @throws ConfigError METRIC_TOKENIZER where the tokenizer has no token of its own for each digit and the point
 */
export function scoreTokens(prefix: Int32Array, whole: readonly Int32Array[]): ScoreTokens {
  const idOf = new Map<string, number>();
  const characterOf = new Map<number, string>();
  for (const [index, { text }] of scoreAnswers.entries()) {
    const ids = whole[index]!;
    const own = ids.subarray(prefix.length);
    const begins = prefix.every((id, at) => ids[at] === id);
    const oneToOne = Array.from(text).every((character, at) => {
      const id = own[at];
      if (id === undefined) return false;
      idOf.set(character, idOf.get(character) ?? id);
      characterOf.set(id, characterOf.get(id) ?? character);
      return idOf.get(character) === id && characterOf.get(id) === character;
    });
    if (!begins || own.length !== ANSWER_TOKENS || !oneToOne) {
      throw new ConfigError(
        "METRIC_TOKENIZER",
        `the checkpoint's tokenizer writes "${text}" behind an answer tag as the tokens ${[...own].join(", ")}; the expected score needs a token of its own for each digit and the point, the same everywhere. Use mode "greedy" or "sampled" with this checkpoint.`,
        { fields: { text, tokens: [...own] } },
      );
    }
  }
  return { digits: Int32Array.from("0123456789", (digit) => idOf.get(digit)!), point: idOf.get(".")! };
}

/** The digits in front of the point. */
const ONES = [1, 2, 3, 4, 5] as const;
const DIGITS = Array.from({ length: 10 }, (_, digit) => digit);

/** The beginnings D.T of the answers, and one token more that stands for the hundredths: [50][4]. */
export function branches({ digits, point }: ScoreTokens): Int32Array[] {
  return ONES.flatMap((one) => DIGITS.map((tenth) => Int32Array.of(digits[one]!, point, digits[tenth]!, digits[0]!)));
}

/** What the distribution behind every branch is asked for: the digits and the point, [11]. */
export function branchCandidates({ digits, point }: ScoreTokens): Int32Array {
  return Int32Array.of(...digits, point);
}

/**
 * The log-probability of each of the 500 answers by the chain rule: P(D) P(. | D) P(T | D.) P(H | D.T).
 *
 * @param logprobs [50][4 x 11] of `branchCandidates` at the four tokens of each of `branches`
 * @returns in the order of `scoreAnswers`
 */
export function answerLogprobs(logprobs: readonly Float32Array[]): number[] {
  const candidates = DIGITS.length + 1;
  const at = (branch: Float32Array, token: number, candidate: number): number =>
    branch[token * candidates + candidate]!;
  return ONES.flatMap((one, first) =>
    DIGITS.flatMap((tenth) => {
      const branch = logprobs[first * DIGITS.length + tenth]!;
      const begun = at(branch, 0, one) + at(branch, 1, DIGITS.length) + at(branch, 2, tenth);
      return DIGITS.map((hundredth) => begun + at(branch, 3, hundredth));
    }),
  );
}
