/**
 * How a rollout batch is cut into optimizer updates: runs of whole groups, in order, as equal as can be.
 *
 * @module
 */
import type { TrainBatch } from "./types.js";

/**
 * @param items one per prompt
 * @throws RangeError when there would be an update without prompts
 */
export function cutIntoUpdates<T>(items: readonly T[], updates: number): T[][] {
  if (!Number.isInteger(updates) || updates < 1 || (updates > items.length && updates > 1)) {
    throw new RangeError(`${items.length} prompts cannot be cut into ${updates} updates.`);
  }
  const edge = (update: number): number => Math.ceil((update * items.length) / updates);
  return Array.from({ length: updates }, (_, update) => items.slice(edge(update), edge(update + 1)));
}

/** Cuts a rollout batch into updates; the worker keeps finding old log-probabilities by position. */
export function splitUpdates(batch: TrainBatch, updates: number): TrainBatch[] {
  return cutIntoUpdates(batch.groups, updates).map((groups) => ({ id: batch.id, groups }));
}
