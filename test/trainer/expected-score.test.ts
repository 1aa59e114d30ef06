import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/errors.js";
import {
  answerLogprobs,
  branchCandidates,
  branches,
  expectedScore,
  scoreAnswers,
  scoreTokens,
} from "../../src/trainer/expected-score.js";

/** Answers with probabilities instead of their logarithms. */
const distribution = (pairs: readonly (readonly [score: number, probability: number])[]) =>
  pairs.map(([score, probability]) => ({ score, logprob: Math.log(probability) }));

const weights = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 500, maxLength: 500 });

describe("scoreAnswers", () => {
  it("are the 500 numbers from 1.00 to 5.99, those above 5 worth 5", () => {
    expect(scoreAnswers).toHaveLength(500);
    expect(scoreAnswers[0]).toEqual({ text: "1.00", score: 1 });
    expect(scoreAnswers[237]).toEqual({ text: "3.37", score: 3.37 });
    expect(scoreAnswers[400]).toEqual({ text: "5.00", score: 5 });
    expect(scoreAnswers[499]).toEqual({ text: "5.99", score: 5 });
    for (const { text, score } of scoreAnswers) expect(score).toBe(Math.min(5, Number(text)));
  });
});

describe("expectedScore", () => {
  it("is the answer itself, without spread, where only one is ever given", () => {
    expect(expectedScore(distribution([[3.25, 1]]))).toEqual({ score: 3.25, std: 0, validMass: 1 });
  });

  it("weighs answers by their probability", () => {
    const { score, std, validMass } = expectedScore(
      distribution([
        [2, 0.5],
        [4, 0.25],
      ]),
    );
    // Given one of the two: 2 with 2/3, 4 with 1/3.
    expect(score).toBeCloseTo(8 / 3, 12);
    expect(std).toBeCloseTo(Math.sqrt(8 / 9), 12);
    expect(validMass).toBeCloseTo(0.75, 12);
  });

  it("has no score where nothing is possible", () => {
    const nothing = { score: null, std: null, validMass: 0 };
    expect(expectedScore([])).toEqual(nothing);
    expect(expectedScore([{ score: 3, logprob: -Infinity }])).toEqual(nothing);
  });

  it("still has mean and spread where probabilities are too small to be written down", () => {
    const rare = [
      { score: 1, logprob: -2000 },
      { score: 5, logprob: -2000 },
    ];
    expect(expectedScore(rare)).toEqual({ score: 3, std: 2, validMass: 0 });
  });

  it("equals the sums of the definition, for any distribution", () => {
    fc.assert(
      fc.property(weights, fc.double({ min: 0.01, max: 1, noNaN: true }), (raw, mass) => {
        const total = raw.reduce((sum, weight) => sum + weight, 0);
        fc.pre(total > 1e-6);
        const probabilities = raw.map((weight) => (weight / total) * mass);
        const answers = scoreAnswers.map(({ score }, index) => ({ score, logprob: Math.log(probabilities[index]!) }));

        let mean = 0;
        let square = 0;
        for (const [index, { score }] of scoreAnswers.entries()) {
          mean += (score * probabilities[index]!) / mass;
          square += (score ** 2 * probabilities[index]!) / mass;
        }
        const found = expectedScore(answers);
        expect(found.score).toBeCloseTo(mean, 9);
        expect(found.std! ** 2).toBeCloseTo(square - mean ** 2, 9);
        expect(found.validMass).toBeCloseTo(mass, 9);
      }),
    );
  });

  it("does not depend on the order of the answers", () => {
    fc.assert(
      fc.property(weights, fc.shuffledSubarray([...scoreAnswers.keys()], { minLength: 500 }), (raw, order) => {
        const answers = scoreAnswers.map(({ score }, index) => ({ score, logprob: Math.log(raw[index]! + 1e-9) - 6 }));
        const found = expectedScore(order.map((index) => answers[index]!));
        const expected = expectedScore(answers);
        expect(found.score).toBeCloseTo(expected.score!, 10);
        expect(found.std).toBeCloseTo(expected.std!, 10);
        expect(found.validMass).toBeCloseTo(expected.validMass, 10);
      }),
    );
  });

  it("stays between the smallest and the greatest answer", () => {
    fc.assert(
      fc.property(weights, (raw) => {
        fc.pre(raw.some((weight) => weight > 0));
        const { score, std } = expectedScore(
          scoreAnswers.map(({ score: own }, index) => ({ score: own, logprob: Math.log(raw[index]!) })),
        );
        expect(score).toBeGreaterThanOrEqual(1);
        expect(score).toBeLessThanOrEqual(5 + 1e-12);
        expect(std).toBeLessThanOrEqual(2 + 1e-12);
      }),
    );
  });
});

describe("scoreTokens", () => {
  const prefix = Int32Array.of(7, 8);
  const idOf = (character: string): number => (character === "." ? 50 : 100 + Number(character));
  const whole = (change: (ids: number[], text: string) => number[] = (ids) => ids): Int32Array[] =>
    scoreAnswers.map(({ text }) => Int32Array.from(change([7, 8, ...Array.from(text, idOf)], text)));

  it("are those of the ten digits and the point", () => {
    const digits = Int32Array.from({ length: 10 }, (_, digit) => 100 + digit);
    expect(scoreTokens(prefix, whole())).toEqual({ digits, point: 50 });
  });

  it.each([
    ["two digits are one token", (ids: number[], text: string) => (text === "4.25" ? [7, 8, 104, 50, 225] : ids)],
    ["a digit is another token at another place", (ids: number[]) => [...ids.slice(0, 5), ids[5]! + 1000]],
    ["digits share a token", (ids: number[]) => ids.map((id) => (id > 100 ? 100 : id))],
    ["the prefix runs into the digit", (ids: number[]) => [7, ...ids.slice(1).map((id) => id + 1)]],
    ["there is more than the answer", (ids: number[]) => [...ids, 9]],
    ["there is nothing", () => []],
  ])("refuses a tokenizer where %s", (_, change) => {
    expect(() => scoreTokens(prefix, whole(change))).toThrow(
      expect.objectContaining({ constructor: ConfigError, code: "METRIC_TOKENIZER" }),
    );
  });
});

describe("answerLogprobs", () => {
  const tokens = { digits: Int32Array.from({ length: 10 }, (_, digit) => 100 + digit), point: 50 };
  const idOf = (character: string): number => (character === "." ? 50 : 100 + Number(character));
  /** Any number that depends on what was written so far and on what comes next. */
  const logprob = (written: ArrayLike<number>, next: number): number =>
    -((Array.from(written).reduce((hash, id) => (hash * 31 + id) % 1009, 7) * 17 + next * 13) % 97) / 16;

  it("follow the chain rule: each token of an answer behind those in front of it", () => {
    const read = branches(tokens).map((branch) =>
      Float32Array.from(
        [0, 1, 2, 3].flatMap((at) =>
          Array.from(branchCandidates(tokens), (next) => logprob(branch.slice(0, at), next)),
        ),
      ),
    );
    const found = answerLogprobs(read);
    expect(found).toHaveLength(500);
    for (const [index, { text }] of scoreAnswers.entries()) {
      const ids = Array.from(text, idOf);
      const expected = ids.reduce((sum, id, at) => sum + logprob(ids.slice(0, at), id), 0);
      expect(found[index]).toBe(expected);
    }
  });
});
