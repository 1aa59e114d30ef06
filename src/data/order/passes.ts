/**
 * The order in which one pass goes over the rows of a data set: shuffled, as in the files, or from easy to hard.
 *
 * @module
 */
import { shuffleInPlace } from "../../stats/index.js";
import { keepLatest } from "./latest.js";

/** @returns a permutation of the row numbers, a pure function of the pass, from 0; not to be changed */
export type Passes = (pass: number) => Uint32Array;

export interface PassOptions {
  readonly rows: number;
  /** @returns the key of a pass's shuffle; null leaves the rows as they are */
  readonly keyOf: ((pass: number) => bigint) | null;
  /** What to sort by, if anything. */
  readonly curriculum: Curriculum | null;
}

export interface Curriculum {
  /** [rows] */
  readonly values: Float64Array;
  /** The largest first. */
  readonly descending: boolean;
  /** How much a row may stray from its place: 0 not at all, 1 anywhere. */
  readonly mix: number;
}

/** Passes as training goes over them, and without their curriculum. */
export interface PassOrders {
  readonly ordered: Passes;
  /** For choosing rows, where not all can take part in a pass: a curriculum must not decide on that. */
  readonly unsorted: Passes;
}

/** Rows with equal values come in the order of the shuffle. */
export function createPasses({ rows, keyOf, curriculum }: PassOptions): PassOrders {
  const unsorted = keepLatest((pass) => {
    const order = Uint32Array.from({ length: rows }, (_, index) => index);
    if (keyOf !== null) shuffleInPlace(order, keyOf(pass));
    return order;
  });
  return {
    unsorted,
    ordered: curriculum === null ? unsorted : keepLatest((pass) => sortedBy(curriculum, unsorted(pass))),
  };
}

/** By value; with a mix, by a weighted mean of the place by value and the place in the shuffle. */
function sortedBy({ values, descending, mix }: Curriculum, shuffled: Uint32Array): Uint32Array {
  const place = placesIn(shuffled);
  const sign = descending ? -1 : 1;
  const sorted = shuffled.toSorted((a, b) => sign * (values[a]! - values[b]!) || place[a]! - place[b]!);
  if (mix === 0) return sorted;
  const rank = placesIn(sorted);
  const score = (row: number): number => (1 - mix) * rank[row]! + mix * place[row]!;
  return sorted.toSorted((a, b) => score(a) - score(b) || place[a]! - place[b]!);
}

/** Where each row stands in an order. */
export function placesIn(order: Uint32Array): Uint32Array {
  const places = new Uint32Array(order.length);
  for (const [place, row] of order.entries()) places[row] = place;
  return places;
}
