/**
 * Configuration keys of the section "Optimiser": AdamW with float32 master weights, and gradient clipping.
 *
 * @module
 */
import { z } from "zod";

export const optimiserKeys = {
  optim: z
    .enum(["adamw_torch", "adamw_bnb_8bit"])
    .default("adamw_torch")
    .describe(
      "The optimizer, by its name in Hugging Face's TrainingArguments. adamw_torch: AdamW with 8 bytes of float32 state per " +
        "trained parameter (arXiv 1711.05101). adamw_bnb_8bit: AdamW of the Python package bitsandbytes (`pip install " +
        "bitsandbytes`), 2 bytes and a float32 scale per 256 values of each moment (arXiv 2110.02861); parameters below 4096 " +
        "values keep float32. Not under fsdp2 and deepspeed. A checkpoint goes on with the optimizer it was taken with.",
    ),
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
