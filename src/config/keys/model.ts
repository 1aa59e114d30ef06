/**
 * Configuration keys of the section "Model": which checkpoint, in which precision, which parts of it are trained.
 *
 * @module
 */
import { z } from "zod";

/** A setting of the adapter. @param fallback what null stands for where the adapter is new */
function ofAdapter<T extends z.ZodType>(schema: T, what: string, fallback: string) {
  return schema
    .nullable()
    .default(null)
    .describe(`${what} null: ${fallback}, or what the adapter in \`model_name_or_path\` has.`);
}

export const modelKeys = {
  model_name_or_path: z
    .string()
    .min(1)
    .describe("Folder of a Hugging Face checkpoint or of a PEFT adapter, or a hub id of either. Required."),
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
    .describe(
      "Leave the vision tower as it is: no gradient is computed for it. With `use_peft` it is left in any case: an adapter " +
        "is never put into it.",
    ),
  use_peft: z
    .boolean()
    .default(false)
    .describe(
      "Train a LoRA adapter of the language model and nothing else: a small part of the memory, no second model for the " +
        "KL term, small checkpoints (docs/lora.md). Where `model_name_or_path` is an adapter, training goes on with it.",
    ),
  lora_r: ofAdapter(z.int().min(1), "Rank of the adapter.", "16"),
  lora_alpha: ofAdapter(
    z.int().min(1),
    "What the adapter adds is scaled by `lora_alpha` / `lora_r`, with `use_rslora` by `lora_alpha` / sqrt(`lora_r`).",
    "32",
  ),
  lora_dropout: ofAdapter(
    z.number().min(0).lt(1),
    "Share of the adapter's inputs that are dropped in the pass that computes gradients, and only there: log-probabilities, " +
      "sampling and the reference have none. Needs one update per rollout batch.",
    "0",
  ),
  lora_target_modules: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .nullable()
    .transform((value): string[] | null => (value === null ? null : [value].flat()))
    .prefault(null)
    .describe(
      "Names of the linear layers of the language model to adapt, as q_proj or layers.0.mlp.up_proj; they are looked for " +
        "there alone, never in the vision tower. null or all-linear: all of them.",
    ),
  lora_task_type: z
    .literal("CAUSAL_LM")
    .default("CAUSAL_LM")
    .describe("What a saved adapter says it is for. Always CAUSAL_LM."),
  use_rslora: ofAdapter(
    z.boolean(),
    "Scale by the root of the rank (rank-stabilised LoRA), which lets large ranks learn.",
    "false",
  ),
  use_dora: ofAdapter(
    z.boolean(),
    "Train the length of each row of a weight apart from its direction (DoRA): more time, and the KL starts at 0 in float32 " +
      "only.",
    "false",
  ),
  load_in_4bit: z
    .boolean()
    .default(false)
    .describe(
      "Hold the language model in 4 bits per weight below the adapter (QLoRA). Needs `use_peft`, a CUDA device and the " +
        "Python package bitsandbytes.",
    ),
  gradient_checkpointing: z
    .boolean()
    .default(false)
    .describe("Recompute activations in the backward pass: less memory, about a third more time."),
  activation_offloading: z
    .boolean()
    .default(false)
    .describe(
      "Keep what gradient_checkpointing keeps, the input of every layer, in the machine's memory instead of the device's: " +
        "less of it per token, and a copy in both directions. Needs `gradient_checkpointing`; changes no number, and saves " +
        "nothing on a CPU.",
    ),
  gradient_checkpointing_kwargs: z
    .strictObject({ use_reentrant: z.literal(false) })
    .nullable()
    .default(null)
    .describe("How activations are recomputed. Only {use_reentrant: false}, which is what the worker does anyway."),
};
