/**
 * Contradictions between keys about what is trained, and how: all weights or an adapter, by which optimizer, the vision tower
 * at a pace of its own.
 *
 * @module
 */
import { BATCH_KEYS, batchSizes } from "./batch-arithmetic.js";
import { conflict } from "./check.js";
import type { Check } from "./check.js";
import type { ConfigKey } from "./schema.js";
import { trainingStrategy } from "./training.js";

/** Keys that say how the adapter is. */
const ADAPTER_KEYS = [
  "lora_r",
  "lora_alpha",
  "lora_dropout",
  "lora_target_modules",
  "use_rslora",
  "use_dora",
] as const satisfies readonly ConfigKey[];

export const adapterChecks: readonly Check[] = [
  {
    keys: [...ADAPTER_KEYS, "use_peft"],
    find: (config) => {
      if (config.use_peft) return null;
      const set = ADAPTER_KEYS.find((key) => config[key] !== null && config[key] !== false);
      return set === undefined
        ? null
        : conflict(
            `${set} is set, and use_peft is false: there is no adapter that it could shape. Set use_peft to true.`,
          );
    },
  },
  {
    keys: ["load_in_4bit", "use_peft"],
    find: ({ load_in_4bit, use_peft }) =>
      load_in_4bit && !use_peft
        ? conflict(
            "load_in_4bit is true, and use_peft is false: weights in 4 bits cannot be trained. Set use_peft to true.",
          )
        : null,
  },
  {
    keys: ["load_in_4bit", "strategy", "deepspeed", "num_processes"],
    find: (config) => {
      const strategy = trainingStrategy(config);
      return config.load_in_4bit && (strategy === "fsdp2" || strategy === "deepspeed")
        ? conflict(
            `load_in_4bit is true, and strategy is "${strategy}", which cannot cut weights of 4 bits into pieces. Use strategy ` +
              '"ddp", or set load_in_4bit to false.',
          )
        : null;
    },
  },
  {
    keys: ["optim", "strategy", "deepspeed", "num_processes"],
    find: (config) => {
      const strategy = trainingStrategy(config);
      return config.optim === "adamw_bnb_8bit" && (strategy === "fsdp2" || strategy === "deepspeed")
        ? conflict(
            `optim is "adamw_bnb_8bit", and strategy is "${strategy}", which cuts parameters into pieces that bitsandbytes does ` +
              'not take. Use strategy "ddp", or optim "adamw_torch".',
          )
        : null;
    },
  },
  {
    keys: ["lora_dropout", ...BATCH_KEYS],
    find: (config) => {
      const { updatesPerBatch } = batchSizes(config);
      return (config.lora_dropout ?? 0) > 0 && updatesPerBatch > 1
        ? conflict(
            `lora_dropout is ${config.lora_dropout}, and a rollout batch feeds ${updatesPerBatch} updates: from the second on, ` +
              "the loss compares with log-probabilities that were computed without dropout, and the ratio would be noise. " +
              "Set lora_dropout to 0, or let a rollout batch feed one update (num_iterations 1, per_device_train_batch_size).",
          )
        : null;
    },
  },
  {
    keys: ["vision_learning_rate", "learning_rate", "freeze_vision_modules", "use_peft"],
    find: ({ vision_learning_rate: rate, learning_rate, freeze_vision_modules, use_peft }) => {
      if (rate === null) return null;
      const frozen = freeze_vision_modules ? "freeze_vision_modules" : use_peft ? "use_peft" : null;
      if (frozen !== null) {
        return conflict(`vision_learning_rate is ${rate}, and ${frozen} is true: the vision tower is not trained.`);
      }
      return learning_rate === 0
        ? conflict(
            `vision_learning_rate is ${rate}, and learning_rate is 0, whose schedule it shares. To train the vision tower ` +
              "alone is not built; give learning_rate a value.",
          )
        : null;
    },
  },
];
