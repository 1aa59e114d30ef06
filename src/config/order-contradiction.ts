/**
 * Promises about the order of the data that no order can keep, whatever the data.
 *
 * @module
 */
import type { ParsedConfig } from "./schema.js";

/** The keys that decide on the order of rows. */
export type OrderKeys = Pick<
  ParsedConfig,
  | "shuffle_dataset"
  | "dataloader_drop_last"
  | "dataset_weights"
  | "batch_datasets"
  | "batch_groups"
  | "curriculum_key"
  | "curriculum_order"
  | "curriculum_mix"
>;

/** @returns what is wrong and what to do; null when nothing is */
export function orderContradiction(keys: Omit<OrderKeys, "curriculum_key" | "curriculum_order">): string | null {
  const mixed = keys.batch_datasets === "mixed";
  if (mixed && keys.batch_groups === "one") {
    return (
      'batch_datasets is "mixed" and batch_groups is "one": a group lies in one data set, so its batches cannot be mixed. ' +
      'Set batch_datasets to "one".'
    );
  }
  if (mixed && keys.batch_groups !== "any" && keys.dataset_weights !== "proportional") {
    return (
      `batch_datasets is "mixed", batch_groups is "${keys.batch_groups}" and dataset_weights is ` +
      `${JSON.stringify(keys.dataset_weights)}: a batch cannot keep both its shares and its groups. ` +
      'Set dataset_weights to "proportional", batch_groups to "any", or batch_datasets to "one".'
    );
  }
  if (keys.dataloader_drop_last && (keys.batch_groups === "together" || keys.batch_groups === "apart")) {
    return (
      `dataloader_drop_last is true and batch_groups is "${keys.batch_groups}", which decides by itself what a pass leaves ` +
      "out. Remove one of them."
    );
  }
  if (keys.dataloader_drop_last && mixed && keys.dataset_weights !== "proportional") {
    return (
      `dataloader_drop_last is true, batch_datasets is "mixed" and dataset_weights is ${JSON.stringify(keys.dataset_weights)}: ` +
      'data sets then have passes of their own, which end within batches. Set dataset_weights to "proportional", or remove ' +
      "dataloader_drop_last."
    );
  }
  if (keys.curriculum_mix > 0 && !keys.shuffle_dataset) {
    return (
      `curriculum_mix is ${keys.curriculum_mix} and shuffle_dataset is false: there is no shuffle to mix with. ` +
      "Remove one of them."
    );
  }
  return null;
}
