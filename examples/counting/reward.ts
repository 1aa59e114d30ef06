/**
 * A reward for string answers: 1 for the right word in an answer tag and nothing else, else 0.
 *
 * @module
 */
import { defineReward } from "thurstone/rewards";
import { z } from "zod";
import { answerOf } from "./pictures.js";

/** Whether a completion is the right answer to its row, to the letter. */
export function isRight(text: string, answer: string): boolean {
  return text === answerOf(answer);
}

/** Exact match. */
export const exactMatch = defineReward({
  name: "exact_match",
  row: z.object({ answer: z.string() }),
  score: ({ completion, row }) => (isRight(completion.text, row.answer) ? 1 : 0),
});
