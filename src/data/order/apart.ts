/**
 * Batches in which no two rows are of one group.
 *
 * A pass is laid out by itself. Of its batches, each takes the first remaining rows whose groups it does not have yet; a
 * group with as many rows left as there are batches must be in all of them and goes first. That never gets stuck: R batches
 * of P rows can be filled exactly when no group has more than R of the P x R rows.
 *
 * @module
 */
import { keepLatest } from "./latest.js";
import type { PassOrders } from "./passes.js";

export interface GroupedOptions {
  /** [rows] Number of each row's group, from 0 without gaps. */
  readonly groups: Uint32Array;
  /** Rows of a batch. */
  readonly size: number;
  readonly passes: PassOrders;
}

/** Batches of whole passes; rows that fill no batch sit a pass out. */
export interface GroupedOrder {
  /** Batches of a pass; 0 when it cannot be done. */
  readonly batches: number;
  /** @returns row numbers of a batch, counted from 0 over all passes */
  batch(ordinal: number): Uint32Array;
}

/** Fewer groups than a batch has rows give no batch. */
export function createApartOrder({ groups, size, passes }: GroupedOptions): GroupedOrder {
  const counts = countGroups(groups);
  const batches = mostBatches(counts, groups.length, size);
  const layOut = keepLatest((pass) => {
    const kept = chooseRows(passes.unsorted(pass), { groups, batches, size });
    const order = passes.ordered(pass).filter((row) => kept[row] === 1);
    return deal(order, { groups, batches, size });
  });
  return {
    batches,
    batch(ordinal) {
      const at = ordinal % batches;
      return layOut(Math.floor(ordinal / batches)).subarray(at * size, (at + 1) * size);
    },
  };
}

/** Rows of each group. */
export function countGroups(groups: Uint32Array): Uint32Array {
  const counts = new Uint32Array(groups.reduce((most, group) => Math.max(most, group + 1), 0));
  for (const group of groups) counts[group]! += 1;
  return counts;
}

/** The most batches B with sum over groups of min(rows, B) >= B x size; what fits B batches fits fewer. */
function mostBatches(counts: Uint32Array, rows: number, size: number): number {
  const fits = (batches: number): boolean =>
    counts.reduce((total, count) => total + Math.min(count, batches), 0) >= batches * size;
  let most = 0;
  let tooMany = Math.floor(rows / size) + 1;
  while (tooMany - most > 1) {
    const middle = Math.floor((most + tooMany) / 2);
    if (fits(middle)) most = middle;
    else tooMany = middle;
  }
  return most;
}

type Sizes = Pick<GroupedOptions, "groups" | "size"> & { readonly batches: number };

/** Marks the rows that take part in a pass: the first that fill the batches, of no group more than there are batches. */
function chooseRows(order: Uint32Array, { groups, batches, size }: Sizes): Uint8Array {
  const kept = new Uint8Array(order.length);
  const counts = new Map<number, number>();
  let total = 0;
  for (const row of order) {
    if (total === batches * size) break;
    const count = counts.get(groups[row]!) ?? 0;
    if (count === batches) continue;
    counts.set(groups[row]!, count + 1);
    kept[row] = 1;
    total += 1;
  }
  return kept;
}

/** @returns the rows of all batches, one batch behind the other */
function deal(order: Uint32Array, { groups, batches, size }: Sizes): Uint32Array {
  const remaining = createRemaining(order, groups);
  const dealt = new Uint32Array(order.length);
  /** Groups that must be in every batch that is left. */
  const due = new Set<number>();
  for (let batch = 0; batch < batches; batch += 1) {
    for (const group of remaining.groupsOf(batches - batch)) due.add(group);
    const taken = new Set(due);
    const rows = [...due].map((group) => remaining.first(group));
    for (const place of remaining.places()) {
      if (rows.length === size) break;
      const group = groups[order[place]!]!;
      if (taken.has(group)) continue;
      taken.add(group);
      rows.push(place);
    }
    for (const place of rows) remaining.take(place);
    // As they stand in the pass, whatever made them be taken.
    dealt.set(
      rows.toSorted((a, b) => a - b).map((place) => order[place]!),
      batch * size,
    );
  }
  return dealt;
}

/** Places of an order that are not taken yet, in order and by group. */
interface Remaining {
  places(): Iterable<number>;
  /** First place of a group. */
  first(group: number): number;
  /** Groups with so many places left. */
  groupsOf(count: number): readonly number[];
  /** Takes a place; of a group always the first. */
  take(place: number): void;
}

function createRemaining(order: Uint32Array, groups: Uint32Array): Remaining {
  const end = order.length;
  // A doubly linked list; place `end` stands before the first and behind the last.
  const next = Uint32Array.from({ length: end + 1 }, (_, place) => (place === end ? 0 : place + 1));
  const before = Uint32Array.from({ length: end + 1 }, (_, place) => (place === 0 ? end : place - 1));
  const queues = new Map<number, number[]>();
  for (const [place, row] of order.entries()) {
    const queue = queues.get(groups[row]!);
    if (queue === undefined) queues.set(groups[row]!, [place]);
    else queue.push(place);
  }
  const taken = new Map<number, number>();
  const left = (group: number): number => queues.get(group)!.length - (taken.get(group) ?? 0);
  /** Groups by the number of places they had when they came to it. */
  const byCount = new Map<number, number[]>();
  const note = (group: number): void => {
    const count = left(group);
    const same = byCount.get(count);
    if (same === undefined) byCount.set(count, [group]);
    else same.push(group);
  };
  for (const group of queues.keys()) note(group);

  return {
    *places() {
      for (let place = next[end]!; place !== end; place = next[place]!) yield place;
    },
    first: (group) => queues.get(group)![taken.get(group) ?? 0]!,
    groupsOf: (count) => (byCount.get(count) ?? []).filter((group) => left(group) === count),
    take(place) {
      const group = groups[order[place]!]!;
      taken.set(group, (taken.get(group) ?? 0) + 1);
      note(group);
      next[before[place]!] = next[place]!;
      before[next[place]!] = before[place]!;
    },
  };
}
