/**
 * Batches of whole groups: all rows of a group stand in one batch.
 *
 * Which sizes of groups make up a batch is found once, from the sizes alone, so that the number of batches is known; which
 * groups of a size come into which batch, and when, is drawn for every pass anew.
 *
 * @module
 */
import { foldKey, shuffle } from "../../stats/index.js";
import { countGroups } from "./apart.js";
import type { GroupedOptions, GroupedOrder } from "./apart.js";
import { keepLatest } from "./latest.js";
import { placesIn } from "./passes.js";

/** How often a batch is made of groups of these sizes. */
interface Pattern {
  /** Number of groups by size. */
  readonly groups: ReadonlyMap<number, number>;
  readonly times: number;
}

export interface TogetherOrder extends GroupedOrder {
  /** Sizes of groups, at most a batch, that come into no batch of any pass. */
  readonly unused: readonly number[];
}

/** @param keyOf key of a pass's draw; null where batches follow the passes' order */
export function createTogetherOrder({
  groups,
  size,
  passes,
  keyOf,
}: GroupedOptions & { readonly keyOf: ((pass: number) => bigint) | null }): TogetherOrder {
  const counts = countGroups(groups);
  const members = listMembers(groups, counts);
  const histogram = new Map<number, number>();
  for (const count of counts) histogram.set(count, (histogram.get(count) ?? 0) + 1);
  const patterns = findPatterns(histogram, size);
  const batches = patterns.reduce((total, { times }) => total + times, 0);

  const layOut = keepLatest((pass) => {
    const place = placesIn(passes.ordered(pass));
    const mean = (group: number): number => meanPlace(members[group]!, place);
    const waiting = new Map<number, number[]>();
    for (const [groupSize, chosen] of chooseGroups(passes.unsorted(pass), { groups, counts, patterns })) {
      waiting.set(
        groupSize,
        chosen.toSorted((a, b) => mean(a) - mean(b)),
      );
    }
    const filled = patterns.flatMap(({ groups: wanted, times }) =>
      Array.from({ length: times }, () =>
        Uint32Array.from([...wanted].flatMap(([groupSize, count]) => waiting.get(groupSize)!.splice(0, count)))
          .toSorted((a, b) => mean(a) - mean(b))
          .reduce<number[]>((rows, group) => {
            rows.push(...members[group]!.toSorted((a, b) => place[a]! - place[b]!));
            return rows;
          }, []),
      ),
    );
    if (keyOf !== null) return shuffle(filled, foldKey(keyOf(pass), 1));
    return filled.toSorted((a, b) => meanPlace(a, place) - meanPlace(b, place));
  });

  return {
    batches,
    unused: [...histogram.keys()].filter((one) => !patterns.some((pattern) => pattern.groups.has(one))),
    batch: (ordinal) => Uint32Array.from(layOut(Math.floor(ordinal / batches))[ordinal % batches]!),
  };
}

function listMembers(groups: Uint32Array, counts: Uint32Array): Uint32Array[] {
  const members = Array.from(counts, (count) => new Uint32Array(count));
  const filled = new Uint32Array(counts.length);
  for (const [row, group] of groups.entries()) members[group]![filled[group]!++] = row;
  return members;
}

function meanPlace(rows: ArrayLike<number>, place: Uint32Array): number {
  return Array.from(rows).reduce((total, row) => total + place[row]!, 0) / rows.length;
}

/** The groups that take part in a pass, by size: as many as the patterns ask for, the first of an order. */
function chooseGroups(
  order: Uint32Array,
  {
    groups,
    counts,
    patterns,
  }: { readonly groups: Uint32Array; readonly counts: Uint32Array; readonly patterns: readonly Pattern[] },
): Map<number, number[]> {
  const wanted = new Map<number, number>();
  for (const { groups: each, times } of patterns) {
    for (const [size, count] of each) wanted.set(size, (wanted.get(size) ?? 0) + count * times);
  }
  const chosen = new Map<number, number[]>([...wanted.keys()].map((size) => [size, []]));
  const seen = new Uint8Array(counts.length);
  for (const row of order) {
    const group = groups[row]!;
    if (seen[group] === 1) continue;
    seen[group] = 1;
    const same = chosen.get(counts[group]!);
    if (same !== undefined && same.length < wanted.get(counts[group]!)!) same.push(group);
  }
  return chosen;
}

/** First a batch with each size, so that no size sits out for good; then batches with the largest groups first. */
function findPatterns(histogram: ReadonlyMap<number, number>, size: number): Pattern[] {
  const left = new Map(histogram);
  const patterns: Pattern[] = [];
  const sizes = [...histogram.keys()].filter((one) => one <= size).toSorted((a, b) => b - a);
  const take = (groups: ReadonlyMap<number, number>, times: number): void => {
    for (const [one, count] of groups) left.set(one, left.get(one)! - count * times);
    patterns.push({ groups, times });
  };
  for (const one of sizes) {
    if (patterns.some(({ groups }) => groups.has(one))) continue;
    const groups = fill([one, ...sizes.filter((other) => other !== one)], left, size);
    if (groups !== null) take(groups, 1);
  }
  for (const [at, largest] of sizes.entries()) {
    for (;;) {
      const groups = left.get(largest) === 0 ? null : fill(sizes.slice(at), left, size);
      if (groups === null) break;
      take(groups, Math.min(...[...groups].map(([one, count]) => Math.floor(left.get(one)! / count))));
    }
  }
  return patterns;
}

/** Numbers of groups whose sizes add up to a batch, at least one of the first size; null when there are none. */
function fill(
  sizes: readonly number[],
  left: ReadonlyMap<number, number>,
  size: number,
): ReadonlyMap<number, number> | null {
  const failed = new Set<string>();
  const search = (missing: number, at: number): [number, number][] | null => {
    if (missing === 0) return [];
    if (at === sizes.length || failed.has(`${missing} ${at}`)) return null;
    const one = sizes[at]!;
    const most = Math.min(left.get(one)!, Math.floor(missing / one));
    for (let count = most; count >= (at === 0 ? 1 : 0); count -= 1) {
      const rest = search(missing - count * one, at + 1);
      if (rest !== null) return count === 0 ? rest : [[one, count], ...rest];
    }
    failed.add(`${missing} ${at}`);
    return null;
  };
  const found = search(size, 0);
  return found === null ? null : new Map(found);
}
