/**
 * Keys and values that users of Hugging Face, TRL and the reference know, and that this version does not build.
 *
 * Such a key may be set to the value that leaves the feature off. Any other value is an error that names the feature:
 * an option is never accepted and then ignored.
 *
 * @module
 */

interface NotBuiltKey {
  /** Values that do not ask for the feature. */
  readonly off: readonly (string | boolean | null)[];
  /** What any other value asks for. */
  readonly feature: string;
  /** What to do instead. */
  readonly instead: string;
}

/** Keys of which only the "off" values are accepted. */
export const NOT_BUILT_KEYS = {
  fsdp: {
    off: [null, ""],
    feature: "torch's FSDP as the Trainer configures it",
    instead: 'Use strategy "fsdp2" with num_processes, and remove fsdp.',
  },
  use_vllm: { off: [false], feature: "sampling by vLLM", instead: "The worker samples itself: remove use_vllm." },
  sync_ref_model: {
    off: [false],
    feature: "a reference model that follows the policy",
    instead: "The reference stays the starting model: remove sync_ref_model.",
  },
  ref_model_mixup_alpha: {
    off: [null],
    feature: "a reference model that follows the policy",
    instead: "Remove ref_model_mixup_alpha.",
  },
  ref_model_sync_steps: {
    off: [null],
    feature: "a reference model that follows the policy",
    instead: "Remove ref_model_sync_steps.",
  },
  max_anyres_num: {
    off: [null],
    feature: "picture tiles of the InternVL family",
    instead: "Only Qwen2-VL and Qwen2.5-VL are built: remove max_anyres_num, or use max_pixels.",
  },
  reward_method: {
    off: [null],
    feature: "a reward chosen by task name",
    instead: "Use reward_funcs, or a module of own rewards (rewards).",
  },
  fp16: { off: [false], feature: "float16 computation", instead: "Use bf16, or float32." },
  trust_remote_code: {
    off: [false],
    feature: "running code from a checkpoint",
    instead: "Checkpoints are read as weights and JSON only: remove trust_remote_code.",
  },
} as const satisfies Record<string, NotBuiltKey>;

/** The not-built keys as a user may write them. */
export type NotBuiltInput = {
  readonly [K in keyof typeof NOT_BUILT_KEYS]?: (typeof NOT_BUILT_KEYS)[K]["off"][number] | undefined;
};

/** Values of built keys that are known elsewhere and not built here. */
const NOT_BUILT_VALUES: Readonly<Record<string, readonly string[]>> = {
  loss_type: ["vespo"],
  optim: ["adamw_torch_fused", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "lion_8bit", "sgd"],
  report_to: ["wandb", "mlflow", "comet_ml", "swanlab", "trackio", "clearml", "all"],
  torch_dtype: ["float16"],
  attn_implementation: ["flash_attention_3", "flex_attention"],
  lr_scheduler_type: [
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "polynomial",
    "inverse_sqrt",
    "reduce_lr_on_plateau",
    "warmup_stable_decay",
  ],
};

/** True for keys of which only "off" values are accepted. */
export function isNotBuiltKey(key: string): key is keyof typeof NOT_BUILT_KEYS {
  return Object.hasOwn(NOT_BUILT_KEYS, key);
}

/** @returns what is wrong with the setting, in words; null when it asks for nothing that is missing */
export function notBuilt(key: string, value: unknown): string | null {
  if (isNotBuiltKey(key)) {
    const { off, feature, instead }: NotBuiltKey = NOT_BUILT_KEYS[key];
    if (off.some((allowed) => allowed === value)) return null;
    return `${key} (${JSON.stringify(value)}) asks for ${feature}, which is not built yet. ${instead}`;
  }
  const known = NOT_BUILT_VALUES[key] ?? [];
  const asked = [value].flat().filter((one): one is string => typeof one === "string");
  const missing = asked.filter((one) => known.includes(one));
  if (missing.length === 0) return null;
  return `${key} asks for ${missing.map((one) => JSON.stringify(one)).join(", ")}, which is not built yet. Choose another value.`;
}
