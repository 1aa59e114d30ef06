/**
 * Configuration keys of the section "Supervised": what only fine-tuning on given answers (`sft`) reads.
 *
 * @module
 */
import { z } from "zod";

export const supervisedKeys = {
  packing: z
    .boolean()
    .default(false)
    .describe(
      "Fill every forward and backward pass with as many answers as `max_seq_length` padded tokens hold, sorted by length, " +
        "instead of `per_device_train_batch_size` of them. Only `sft`. Answers stay in rows of their own, so neither the " +
        "loss nor the gradient of an update depends on it; memory and speed do.",
    ),
  max_seq_length: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Tokens of the longest example allowed: prompt with pictures, and answer. Only `sft`. A longer one is an error that " +
        "names its row, never cut. With `packing` also the padded tokens of a pass. null: the model's own limit.",
    ),
};
