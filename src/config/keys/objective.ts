/**
 * Configuration keys of the section "Objective": what is maximised.
 *
 * @module
 */
import { z } from "zod";

export const objectiveKeys = {
  loss_type: z
    .enum(["grpo", "dapo", "dr_grpo"])
    .default("grpo")
    .describe(
      "Normaliser of the loss: grpo (mean per completion), dapo (mean over all tokens), dr_grpo (constant length).",
    ),
  beta: z
    .number()
    .min(0)
    .default(0.04)
    .describe("Weight of the KL term against the starting model. 0: no reference model is kept."),
  epsilon: z.number().positive().lt(1).default(0.2).describe("Clip range of the probability ratio below 1."),
  epsilon_high: z.number().positive().nullable().default(null).describe("Clip range above 1. null: as `epsilon`."),
  scale_rewards: z
    .union([z.enum(["group", "batch", "none"]), z.boolean()])
    .transform((value): "group" | "batch" | "none" => (value === true ? "group" : value === false ? "none" : value))
    .prefault("group")
    .describe(
      "What advantages are divided by: the standard deviation of the group (or true), of the batch, or nothing (or false).",
    ),
  num_iterations: z.int().min(1).default(1).describe("Times a rollout batch is trained on."),
};
