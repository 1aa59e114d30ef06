/**
 * Log-probabilities of the last rollout batches, as they came from the worker, for custom losses. The worker keeps its own
 * for the losses that it executes.
 *
 * @module
 */
import { LossError } from "../errors.js";
import type { LogprobsOf, TrainBatch } from "./types.js";

/** As many as the worker keeps: one in training, and the next one, whose rollouts may already have been scored. */
export const KEPT_BATCHES = 2;

interface Kept {
  readonly tokenIds: Int32Array;
  readonly logprobs: Float32Array;
}

/** By batch id and position in the rollout batch; the oldest batch leaves when a new one comes. */
export interface KeptLogprobs {
  /** @param rows [group][completion][token] */
  keep(of: LogprobsOf, batch: TrainBatch, rows: readonly (readonly Float32Array[])[]): void;
  /**
   * [group][completion][token], or undefined unless all of it is there.
   *
   * @throws LossError LOSS_OTHER_BATCH where the batch holds other tokens than those that were kept under its id
   */
  find(of: LogprobsOf, batch: TrainBatch): Float32Array[][] | undefined;
  clear(): void;
}

/** Keeps nothing yet. */
export function createKeptLogprobs(): KeptLogprobs {
  const batches = new Map<string, Map<string, Kept>>();
  const key = (of: LogprobsOf, position: number): string => `${of} ${position}`;
  return {
    keep(of, batch, rows) {
      const own = batches.get(batch.id) ?? new Map<string, Kept>();
      batches.set(batch.id, own);
      for (const [group, { firstIndex, sequences }] of batch.groups.entries()) {
        for (const [sample, { tokenIds }] of sequences.entries()) {
          own.set(key(of, firstIndex + sample), { tokenIds, logprobs: rows[group]![sample]! });
        }
      }
      const [oldest] = batches.keys();
      if (batches.size > KEPT_BATCHES) batches.delete(oldest!);
    },
    find(of, batch) {
      const own = batches.get(batch.id);
      const found = batch.groups.map(({ firstIndex, sequences }) =>
        sequences.map(({ tokenIds }, sample) => {
          const kept = own?.get(key(of, firstIndex + sample));
          if (kept !== undefined) checkTokens(batch.id, firstIndex + sample, kept.tokenIds, tokenIds);
          return kept?.logprobs;
        }),
      );
      const all = found.map((group) => group.filter((logprobs) => logprobs !== undefined));
      return all.every((group, index) => group.length === found[index]!.length) ? all : undefined;
    },
    clear: () => batches.clear(),
  };
}

function checkTokens(id: string, position: number, kept: Int32Array, given: Int32Array): void {
  if (kept.length === given.length && kept.every((token, index) => token === given[index])) return;
  throw new LossError(
    "LOSS_OTHER_BATCH",
    `completion ${position} of batch "${id}" is not the one that log-probabilities were kept for; a batch id must name ` +
      "one rollout batch only.",
    { fields: { batch: id, position } },
  );
}
