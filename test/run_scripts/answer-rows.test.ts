import { expect, it } from "vitest";
import { answerLines } from "../../run_scripts/tiny-checkpoints/answer-rows.js";

const lines = Array.from({ length: 400 }, (_, index) =>
  JSON.stringify({
    id: `${index}`,
    image: [`${index}.png`],
    type: index % 2 === 0 ? "03" : "10",
    conversations: [
      { from: "human", value: "How good?" },
      { from: "gpt", value: index % 2 === 0 ? 3 : 4.99 },
    ],
  }),
);
interface Answered {
  readonly conversations: readonly { readonly from: string; readonly value: string }[];
}
const scoresOf = (answers: readonly string[]): number[] =>
  answers.map((line) => {
    const { conversations } = JSON.parse(line) as Answered;
    return Number(/<answer>(\d\.\d\d)<\/answer>$/.exec(conversations[1]!.value)![1]);
  });

it("names the true kind of distortion and keeps the rest of a row", () => {
  const [first] = answerLines(lines, { scores: "true", jitter: 0, seed: 0 });
  expect(JSON.parse(first!)).toEqual({
    ...(JSON.parse(lines[0]!) as object),
    conversations: [
      { from: "human", value: "How good?" },
      { from: "gpt", value: "<think>motion blur</think><answer>3.00</answer>" },
    ],
  });
});

it("true scores are the label and some noise, within the scale; the same for the same seed", () => {
  const answers = answerLines(lines, { scores: "true", seed: 1 });
  const scores = scoresOf(answers).filter((_, index) => index % 2 === 0);
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  expect(mean).toBeCloseTo(3, 1);
  expect(Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length)).toBeCloseTo(0.15, 1);
  expect(Math.max(...scoresOf(answers))).toBe(5);
  expect(answerLines(lines, { scores: "true", seed: 1 })).toEqual(answers);
  expect(answerLines(lines, { scores: "true", seed: 2 })).not.toEqual(answers);
});

it("uniform scores fill the scale, whatever the label is", () => {
  const scores = scoresOf(answerLines(lines, { scores: "uniform", seed: 1 }));
  const quarters = [1, 2, 3, 4].map((low) => scores.filter((score) => score >= low && score < low + 1).length / 400);
  for (const share of quarters) expect(Math.abs(share - 0.25)).toBeLessThan(0.07);
});

it("a row without a known type is an error that names it", () => {
  const odd = lines[0]!.replace('"03"', '"99"');
  expect(() => answerLines([odd], { scores: "true", seed: 0 })).toThrow(
    'row 0: type "99" is no distortion of KADID-10k.',
  );
});
