/**
 * The expected score: the mean over all answers of the form D.TH, weighted by how likely the model is to give them.
 *
 * Source: the idea of Q-Align (arXiv 2312.17090) and DeQA-Score (arXiv 2501.11561), which weight words for levels, applied
 * to the digits of a number.
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

/**
 * The tokens of each answer behind a prefix.
 *
 * @param prefix ids of the text in front of the answers
 * @param whole [500] ids of the prefix and the answer together, in the order of `scoreAnswers`
 * @returns [500] four ids each
 * @throws ConfigError METRIC_TOKENIZER where the tokenizer has no token of its own for each digit and the point
 */
export function answerTokens(prefix: Int32Array, whole: readonly Int32Array[]): Int32Array[] {
  const idOf = new Map<string, number>();
  const characterOf = new Map<number, string>();
  return scoreAnswers.map(({ text }, index) => {
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
    return own;
  });
}
