/**
 * Whose batch comes when: in every epoch each set completes as many batches as its rows fill, in a seeded order.
 *
 * @module
 */
import { countBatches } from "../../config/index.js";
import { shuffle } from "../../stats/index.js";
import { keepLatest } from "./latest.js";

export interface ScheduleOptions {
  /** [sets] Rows that each set gives in an epoch, and batches after which it ends. */
  readonly sets: readonly { readonly rowsPerEpoch: number; readonly limit: number }[];
  readonly promptsPerStep: number;
  /** Key of an epoch, from 1; null deals the sets out evenly instead of shuffling them. */
  readonly keyOf: ((epoch: number) => bigint) | null;
}

/** Where a batch comes from. */
export interface Slot {
  readonly set: number;
  /** Number of the batch within its set, from 0. */
  readonly ordinal: number;
  /** From 1. */
  readonly epoch: number;
}

/** @returns the slot of a step, from 1; no epoch but its own is laid out */
export function createSchedule({ sets, promptsPerStep, keyOf }: ScheduleOptions): (step: number) => Slot {
  const completed = (set: number, epochs: number): number => {
    const { rowsPerEpoch: rows, limit } = sets[set]!;
    return Math.min(limit, countBatches({ rows, epochs, promptsPerStep }).batches);
  };
  const ends = [0];
  /** Batches of all sets that the first epochs complete. */
  const completedByAll = (epochs: number): number => {
    while (ends.length <= epochs) ends.push(sets.reduce((total, _, set) => total + completed(set, ends.length), 0));
    return ends[epochs]!;
  };

  const layOut = keepLatest((epoch): Slot[] => {
    const due = sets.flatMap(({ rowsPerEpoch: rows }, set) => {
      const first = countBatches({ rows, epochs: epoch - 1, promptsPerStep }).batches;
      const count = countBatches({ rows, epochs: epoch, promptsPerStep }).batches - first;
      return Array.from({ length: count }, (_, at) => ({ set, place: (at + 0.5) / count }));
    });
    const next = sets.map((_, set) => completed(set, epoch - 1));
    const order =
      keyOf === null ? due.toSorted((a, b) => a.place - b.place || a.set - b.set) : shuffle(due, keyOf(epoch));
    return order.flatMap(({ set }) => {
      const ordinal = next[set]!++;
      return ordinal < sets[set]!.limit ? [{ set, ordinal, epoch }] : [];
    });
  });

  return (step) => {
    let epoch = 1;
    while (completedByAll(epoch) < step) epoch += 1;
    return layOut(epoch)[step - completedByAll(epoch - 1) - 1]!;
  };
}
