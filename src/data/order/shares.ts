/**
 * Which share of every mixed batch each data set has, where shares are asked for.
 *
 * A batch of P rows is a comb of P teeth at distance 1, laid on a ruler of length P on which each data set owns a piece as
 * long as its share. The combs of an epoch's B batches are shifted against each other by 1/B, in a seeded order. So a data
 * set gives each batch its share rounded down or up, and within one row the right number over an epoch. (Systematic
 * sampling: W. G. Madow, "On the theory of systematic sampling, II", 1949.)
 *
 * @module
 */
import { foldKey, shuffleInPlace, uniform } from "../../stats/index.js";
import { keepLatest } from "./latest.js";

export interface SharesOptions {
  /** [data sets] Shares, of any sum. */
  readonly weights: readonly number[];
  /** Rows of a batch. */
  readonly size: number;
  /** Batches that epochs 1 to `epochs` complete. */
  readonly completed: (epochs: number) => number;
  /** Key of an epoch, from 1; null for batches in the order of their shifts. */
  readonly keyOf: ((epoch: number) => bigint) | null;
}

/** Where a batch's rows stand among all rows that a data set gives. */
export interface Draw {
  readonly from: number;
  readonly count: number;
}

export interface Shares {
  /** [data sets] The most rows that each gives to a batch. */
  readonly most: readonly number[];
  /** @returns [data sets] what each gives to batch `at`, from 0, of an epoch, from 1 */
  draws(epoch: number, at: number): Draw[];
}

/** A pure function of its options: batches may be asked for in any order. */
export function createShares({ weights, size, completed, keyOf }: SharesOptions): Shares {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const ends = weights.map(
    (_, set) => (size * weights.slice(0, set + 1).reduce((sum, weight) => sum + weight, 0)) / total,
  );

  /** Where each piece ends, counted in shifts of 1/B: whole numbers, so that nothing is rounded twice. */
  function marksOf(epoch: number): { readonly batches: number; readonly marks: readonly number[] } {
    const batches = completed(epoch) - completed(epoch - 1);
    // Away from whole numbers and halves, where marks often fall and rounding errors would decide.
    const offset = keyOf === null ? 0.5 + 2 ** -20 : 0.25 + 0.5 * uniform(foldKey(keyOf(epoch), 1));
    const marks = ends.map((end, set) =>
      set === ends.length - 1 ? batches * size : Math.max(0, Math.ceil(batches * end - offset)),
    );
    return { batches, marks: [0, ...marks] };
  }

  const before: number[][] = [weights.map(() => 0)];
  /** Rows that each data set gave before an epoch. */
  function givenBefore(epoch: number): readonly number[] {
    while (before.length < epoch) {
      const { marks } = marksOf(before.length);
      before.push(before.at(-1)!.map((given, set) => given + marks[set + 1]! - marks[set]!));
    }
    return before[epoch - 1]!;
  }

  const layOut = keepLatest((epoch) => {
    const { batches, marks } = marksOf(epoch);
    const shifts = Uint32Array.from({ length: batches }, (_, batch) => batch);
    if (keyOf !== null) shuffleInPlace(shifts, keyOf(epoch));
    const teeth = (mark: number, shift: number): number => Math.max(0, Math.ceil((mark - shift) / batches));
    return weights.map((_, set) => {
      const starts = new Float64Array(batches + 1);
      starts[0] = givenBefore(epoch)[set]!;
      for (const [batch, shift] of shifts.entries()) {
        starts[batch + 1] = starts[batch]! + teeth(marks[set + 1]!, shift) - teeth(marks[set]!, shift);
      }
      return starts;
    });
  });

  return {
    most: weights.map((weight) => Math.ceil((size * weight) / total - 1e-9)),
    draws: (epoch, at) => layOut(epoch).map((starts) => ({ from: starts[at]!, count: starts[at + 1]! - starts[at]! })),
  };
}
