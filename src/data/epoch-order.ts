/**
 * The order of one data set's rows over all epochs, cut into batches. A pure function of the key: nothing to save.
 *
 * Each epoch is a seeded permutation of all rows, and batches run on over the seam between two epochs. A row that would
 * then come twice in one batch moves to the batch behind it.
 *
 * @module
 */
import { shuffle } from "../stats/index.js";

export interface EpochOrderOptions {
  /** Rows of the data set, at least `size`. */
  readonly rows: number;
  /** Rows of a batch. */
  readonly size: number;
  /** @returns the key of an epoch's permutation */
  readonly keyOf: (epoch: number) => bigint;
}

/** @returns the row numbers of a batch, both counted from 0 */
export type EpochOrder = (batch: number) => number[];

/** Batches may be asked for in any order; epochs are made when first needed and kept. */
export function createEpochOrder({ rows, size, keyOf }: EpochOrderOptions): EpochOrder {
  const numbers = Array.from({ length: rows }, (_, index) => index);
  const epochs: Uint32Array[] = [];

  function extend(): void {
    const before = epochs.at(-1);
    const shuffled = shuffle(numbers, keyOf(epochs.length + 1));
    const open = (rows * epochs.length) % size;
    const begun = new Set(before?.slice(rows - open));
    epochs.push(Uint32Array.from(open === 0 ? shuffled : deferred(shuffled, begun, size - open)));
  }

  return (batch) => {
    const positions = Array.from({ length: size }, (_, index) => batch * size + index);
    while (epochs.length * rows < (batch + 1) * size) extend();
    return positions.map((position) => epochs[Math.floor(position / rows)]![position % rows]!);
  };
}

/** The permutation with rows of `begun` moved behind the first `open` others: they complete a batch that has those already. */
function deferred(shuffled: readonly number[], begun: ReadonlySet<number>, open: number): number[] {
  const completing = shuffled.filter((row) => !begun.has(row)).slice(0, open);
  const taken = new Set(completing);
  return [...completing, ...shuffled.filter((row) => !taken.has(row))];
}
