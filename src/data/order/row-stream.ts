/**
 * One data set's rows, pass after pass without end. A pure function of the passes: nothing to save.
 *
 * Batches run on over the seam between two passes. A row that would then come twice in one batch moves to the batch
 * behind it.
 *
 * @module
 */
import type { Passes } from "./passes.js";
import { keepLatest } from "./latest.js";

export interface RowStreamOptions {
  /** Rows of the data set: at least `size`, or twice as many where draws are of any number. */
  readonly rows: number;
  /** Rows drawn together. */
  readonly size: number;
  /** "fixed": draws are of `size` rows and begin at multiples of it. "any": of at most `size` rows, from anywhere. */
  readonly draws: "fixed" | "any";
  readonly passes: Passes;
}

/** @returns numbers of the rows at places `from` to `from + count`, from 0; no row twice */
export type RowStream = (from: number, count: number) => number[];

/** Draws may be asked for in any order. */
export function createRowStream({ rows, size, draws, passes }: RowStreamOptions): RowStream {
  /** The pass with its beginning cleared of what ends the pass before it. */
  function follow(pass: number, before: Uint32Array): Uint32Array {
    const begun = draws === "any" ? size : (rows * pass) % size;
    if (begun === 0) return passes(pass);
    const completing = draws === "any" ? size : size - begun;
    return deferred(passes(pass), before.subarray(rows - begun), completing);
  }

  // In a long pass, clearing its beginning leaves its end as it was: no pass before the last one matters.
  const long = keepLatest((pass) => (pass === 0 ? passes(0) : follow(pass, passes(pass - 1))));
  const orderOf = rows >= 3 * size ? long : createChain(passes(0), follow);

  return (from, count) =>
    Array.from({ length: count }, (_, index) => {
      const place = from + index;
      return orderOf(Math.floor(place / rows))[place % rows]!;
    });
}

/** Few rows: every pass depends on the one before it, from the first on. */
function createChain(
  first: Uint32Array,
  follow: (pass: number, before: Uint32Array) => Uint32Array,
): (pass: number) => Uint32Array {
  let at = 0;
  let before = first;
  let order = first;
  return (pass) => {
    if (pass === at - 1) return before;
    if (pass < at) [at, before, order] = [0, first, first];
    while (at < pass) {
      at += 1;
      [before, order] = [order, follow(at, order)];
    }
    return order;
  };
}

/** The pass with rows of `begun` moved behind the first `completing` others. */
function deferred(pass: Uint32Array, begun: Uint32Array, completing: number): Uint32Array {
  const waiting = new Set(begun);
  const order = new Uint32Array(pass.length);
  let found = 0;
  let read = 0;
  const passed: number[] = [];
  while (found < completing) {
    const row = pass[read]!;
    read += 1;
    if (waiting.has(row)) passed.push(row);
    else order[found++] = row;
  }
  order.set(passed, found);
  order.set(pass.subarray(read), read);
  return order;
}
