/**
 * How checkpoints are taken.
 *
 * @module
 */
import { conflict } from "./check.js";
import type { Check } from "./check.js";
import type { ParsedConfig } from "./schema.js";

/** Whether training goes on while a checkpoint is written. `device` is the worker's: "cpu", "cuda:0". */
export function savesBesideTraining(
  { async_save, save_only_model }: Pick<ParsedConfig, "async_save" | "save_only_model">,
  device: string,
): boolean {
  return !save_only_model && (async_save ?? device.startsWith("cuda"));
}

export const savingChecks: readonly Check[] = [
  {
    keys: ["async_save", "save_only_model"],
    find: ({ async_save, save_only_model }) =>
      async_save === true && save_only_model
        ? conflict(
            "async_save is true, and so is save_only_model: a model is exported while training waits. Set one of them to false.",
          )
        : null,
  },
];
