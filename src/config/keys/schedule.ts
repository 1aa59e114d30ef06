/**
 * Configuration keys of the section "Schedule": how long, in which batches, with which learning rate when.
 *
 * A step is one optimizer update, counted from 1.
 *
 * @module
 */
import { z } from "zod";

export const scheduleKeys = {
  num_train_epochs: z
    .number()
    .positive()
    .default(1)
    .describe("Passes over the data; may be a fraction. Not used when `max_steps` is set."),
  max_steps: z
    .int()
    .min(-1)
    .refine((value) => value !== 0, { error: "must be -1 or at least 1" })
    .default(-1)
    .describe(
      "Optimizer steps in all; the data are passed over as often as that takes. -1: as `num_train_epochs` says.",
    ),
  prompts_per_step: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Prompts of one rollout batch, over all devices. null: per_device_train_batch_size * gradient_accumulation_steps / " +
        "num_generations where `per_device_train_batch_size` is given, otherwise 8.",
    ),
  per_device_train_batch_size: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Completions (not prompts) of one forward and backward pass at most. Times `gradient_accumulation_steps` it is the " +
        "size of an update. null: an update takes the whole rollout batch, and passes are bounded by `max_tokens_per_part`. " +
        "`sft` counts rows of the data file instead of completions, and takes 8 for null.",
    ),
  gradient_accumulation_steps: z
    .int()
    .min(1)
    .default(1)
    .describe("Times `per_device_train_batch_size`: completions of an update; rows of an update in `sft`."),
  max_tokens_per_part: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Tokens of one forward and backward pass at most, each prompt counted once for all its completions; groups that " +
        "are larger are cut. null: whole groups, as many as keep about 256 MiB of activations. The gradient does not " +
        "depend on it, memory does.",
    ),
  lr_scheduler_type: z
    .enum(["linear", "cosine", "constant", "constant_with_warmup"])
    .default("linear")
    .describe("Course of the learning rate after the warm-up, as in transformers."),
  warmup_ratio: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("Share of all steps in which the learning rate rises from 0, rounded up."),
  warmup_steps: z
    .int()
    .min(0)
    .default(0)
    .describe("Steps in which the learning rate rises from 0. Instead of `warmup_ratio`."),
};
