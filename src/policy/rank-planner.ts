/**
 * The planner's other half: which rank works on which group.
 *
 * Pure. Groups stay whole. Longest first, each to the rank that has least so far (Graham, SIAM J. Appl. Math. 17, 1969):
 * never more than the mean and one group above it, and within a few percent where there are several groups per rank.
 *
 * @module
 */
import { KEPT_BATCHES } from "./kept-logprobs.js";
import { packedTokens, planParts } from "./planner.js";
import type { PlannerOptions } from "./planner.js";
import type { TrainBatch, TrainGroup } from "./types.js";

/**
 * @param sizes of the items
 * @param placed rank of an item that must go to a certain one
 * @returns per rank the indices of its items, ascending
 */
export function spread(
  sizes: readonly number[],
  ranks: number,
  placed: (index: number) => number | undefined = () => undefined,
): number[][] {
  const loads = Array.from({ length: ranks }, () => 0);
  const shares = loads.map((): number[] => []);
  const give = (index: number, rank: number): void => {
    shares[rank]!.push(index);
    loads[rank]! += sizes[index]!;
  };
  const free: number[] = [];
  for (const index of sizes.keys()) {
    const rank = placed(index);
    if (rank === undefined) free.push(index);
    else give(index, rank);
  }
  for (const index of free.sort((a, b) => sizes[b]! - sizes[a]! || a - b)) {
    give(index, loads.indexOf(Math.min(...loads)));
  }
  return shares.map((share) => share.sort((a, b) => a - b));
}

/** What one rank does of a batch. */
export interface RankShare {
  /** Indices of its groups in the batch, ascending. */
  readonly indices: readonly number[];
  /** One forward pass each; every rank has as many, so that some may be empty. */
  readonly parts: readonly (readonly TrainGroup[])[];
}

/** Remembers which rank has which group of a rollout batch, and with it its old and reference log-probabilities. */
export interface RankPlanner {
  /** @returns one share per rank; together they hold every group exactly once */
  share(batch: TrainBatch): RankShare[];
  /** Forgets what is where. */
  clear(): void;
  /** Most tokens in one part, where that was lowered; else null. */
  readonly lowered: number | null;
  /** From now on parts have so many tokens at most; `PlannerOptions.maxTokens` counts as before. */
  lower(tokens: number): void;
}

/** @param ranks how many there are */
export function createRankPlanner(ranks: number, options: PlannerOptions): RankPlanner {
  const batches = new Map<string, Map<number, number>>();
  let lowered: number | null = null;
  const maxTokens = (): Pick<PlannerOptions, "maxTokens"> =>
    lowered === null ? {} : { maxTokens: Math.min(lowered, options.maxTokens ?? lowered) };
  return {
    get lowered() {
      return lowered;
    },
    lower(tokens) {
      lowered = tokens;
    },
    share(batch) {
      const own = batches.get(batch.id) ?? new Map<number, number>();
      batches.set(batch.id, own);
      const [oldest] = batches.keys();
      if (batches.size > KEPT_BATCHES) batches.delete(oldest!);

      const sizes = batch.groups.map((group) => packedTokens([group]));
      const shares = spread(sizes, ranks, (index) => own.get(batch.groups[index]!.firstIndex));
      for (const [rank, indices] of shares.entries()) {
        for (const index of indices) own.set(batch.groups[index]!.firstIndex, rank);
      }
      const parts = shares.map((indices) =>
        planParts(
          indices.map((index) => batch.groups[index]!),
          { ...options, ...maxTokens() },
        ),
      );
      const passes = Math.max(...parts.map(({ length }) => length));
      return shares.map((indices, rank) => ({ indices, parts: padded(parts[rank]!, passes, []) }));
    },
    clear: () => batches.clear(),
  };
}

/** The list, made as long as that of the others. */
export function padded<T>(list: readonly T[], length: number, empty: T): T[] {
  return [...list, ...Array.from({ length: length - list.length }, () => empty)];
}

/** Results by rank, back in the order of the items that `spread` gave away. */
export function inOrder<T>(shares: readonly (readonly number[])[], results: readonly (readonly T[])[]): T[] {
  const found: T[] = [];
  for (const [rank, share] of shares.entries())
    for (const [at, index] of share.entries()) found[index] = results[rank]![at]!;
  return found;
}
