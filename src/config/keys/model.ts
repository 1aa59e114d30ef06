/**
 * Configuration keys of the section "Model": which checkpoint, in which precision, which parts of it are trained.
 *
 * @module
 */
import { z } from "zod";

export const modelKeys = {
  model_name_or_path: z.string().min(1).describe("Folder of a Hugging Face checkpoint, or a hub id. Required."),
  model_revision: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("Branch, tag or commit of a hub id. null: the main branch."),
  torch_dtype: z
    .enum(["auto", "float32", "bfloat16"])
    .default("auto")
    .describe(
      "Precision of the computation. auto: bfloat16 with `bf16`, otherwise the worker's choice for its device. " +
        "Master weights are always float32; bfloat16 therefore asks for `bf16` too, because pure bfloat16 weights " +
        "lose a learning rate of 1e-6.",
    ),
  bf16: z.boolean().default(false).describe("Compute in bfloat16 over float32 master weights."),
  attn_implementation: z
    .enum(["auto", "sdpa", "eager", "flash_attention_2"])
    .default("auto")
    .describe("Attention kernel. flash_attention_2 must be installed; auto takes sdpa."),
  freeze_vision_modules: z
    .boolean()
    .default(false)
    .describe("Leave the vision tower as it is: no gradient is computed for it."),
  gradient_checkpointing: z
    .boolean()
    .default(false)
    .describe("Recompute activations in the backward pass: less memory, about a third more time."),
  gradient_checkpointing_kwargs: z
    .strictObject({ use_reentrant: z.literal(false) })
    .nullable()
    .default(null)
    .describe("How activations are recomputed. Only {use_reentrant: false}, which is what the worker does anyway."),
};
