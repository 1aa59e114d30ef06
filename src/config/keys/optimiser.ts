/**
 * Configuration keys of the section "Optimiser": AdamW with float32 master weights, and gradient clipping.
 *
 * @module
 */
import { z } from "zod";

export const optimiserKeys = {
  learning_rate: z.number().min(0).default(1e-6).describe("Highest learning rate of the schedule."),
  vision_learning_rate: z
    .number()
    .min(0)
    .nullable()
    .default(null)
    .describe("Highest learning rate of the vision tower, on the same schedule. null: as `learning_rate`."),
  weight_decay: z.number().min(0).default(0).describe("Decoupled weight decay of AdamW."),
  adam_beta1: z.number().min(0).lt(1).default(0.9).describe("Decay of AdamW's first moment."),
  adam_beta2: z.number().min(0).lt(1).default(0.999).describe("Decay of AdamW's second moment."),
  adam_epsilon: z.number().positive().default(1e-8).describe("Keeps AdamW's division finite."),
  max_grad_norm: z
    .number()
    .min(0)
    .nullable()
    .transform((value) => (value === 0 ? null : value))
    .prefault(1)
    .describe("Norm that the gradient of an update is clipped to. 0 or null: no clipping."),
};
