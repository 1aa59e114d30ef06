/**
 * Contradictions between the sizes of updates, rollout batches and groups. Numbers that do not divide are named, with those
 * beside them that would.
 *
 * @module
 */
import { BATCH_KEYS, batchSizes, updateInWords } from "./batch-arithmetic.js";
import { conflict, indivisible } from "./check.js";
import type { Check } from "./check.js";

/** Multiples of `unit` on both sides of `value`, for advice. */
function multiplesNear(value: number, unit: number): string {
  const below = Math.floor(value / unit) * unit;
  return below === 0 ? `${below + unit}` : `${below} or ${below + unit}`;
}

export const batchChecks: readonly Check[] = [
  {
    keys: ["gradient_accumulation_steps", "per_device_train_batch_size"],
    find: ({ gradient_accumulation_steps, per_device_train_batch_size }) =>
      gradient_accumulation_steps > 1 && per_device_train_batch_size === null
        ? conflict(
            `gradient_accumulation_steps is ${gradient_accumulation_steps}, which counts passes of ` +
              "per_device_train_batch_size, and that is not set. Set both, or neither.",
          )
        : null,
  },
  {
    keys: ["per_device_train_batch_size", ...BATCH_KEYS],
    find: (config) => {
      if (config.per_device_train_batch_size === null) return null;
      const { completionsPerUpdate, completionsPerBatch } = batchSizes(config);
      const { num_generations } = config;
      if (completionsPerUpdate % num_generations !== 0) {
        return indivisible(
          `${updateInWords(config, "completions")}, no multiple of num_generations, ${num_generations}. ` +
            `Make it ${multiplesNear(completionsPerUpdate, num_generations)}.`,
        );
      }
      if (completionsPerBatch % completionsPerUpdate !== 0) {
        return indivisible(
          `${updateInWords(config, "completions")} per update, which does not divide the rollout batch of prompts_per_step x ` +
            `num_generations = ${config.prompts_per_step} x ${num_generations} = ${completionsPerBatch} completions.`,
        );
      }
      return null;
    },
  },
  {
    keys: ["max_steps", ...BATCH_KEYS],
    find: (config) => {
      const { updatesPerBatch } = batchSizes(config);
      const { max_steps } = config;
      if (max_steps < 0 || !Number.isInteger(updatesPerBatch) || max_steps % updatesPerBatch === 0) return null;
      return indivisible(
        `max_steps is ${max_steps}, no multiple of the ${updatesPerBatch} updates that one rollout batch feeds. ` +
          `Make it ${multiplesNear(max_steps, updatesPerBatch)}.`,
      );
    },
  },
];
