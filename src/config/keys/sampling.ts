/**
 * Configuration keys of the section "Sampling": how completions are drawn.
 *
 * @module
 */
import { z } from "zod";

export const samplingKeys = {
  num_generations: z.int().min(2).default(6).describe("Completions per prompt (the group size, K in the paper)."),
  temperature: z.number().positive().default(1).describe("Divides the logits, in sampling and in the loss alike."),
  top_p: z
    .number()
    .positive()
    .max(1)
    .default(1)
    .describe("Smallest set of tokens whose probability reaches this. 1: off."),
  top_k: z.int().min(0).default(0).describe("Most likely tokens to draw from. 0: off."),
  min_p: z.number().min(0).max(1).default(0).describe("Least probability relative to the likeliest token. 0: off."),
  repetition_penalty: z
    .number()
    .positive()
    .default(1)
    .describe("Divides positive and multiplies negative logits of tokens already seen. 1: off."),
  max_completion_length: z
    .int()
    .min(1)
    .default(256)
    .describe("Tokens of a completion at most; longer ones are cut and counted. `sft`: of an answer in an evaluation."),
};
