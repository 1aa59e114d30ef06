/**
 * The planner: which groups go into which part of an update. A part is one forward and backward pass of the worker.
 *
 * Pure. Because every weight already contains its normaliser over the whole update, any division gives the same
 * gradient; the planner only decides how much is in memory at once.
 *
 * @module
 */
import type { TrainGroup } from "./types.js";

/** How much a part may hold. */
export interface PlannerOptions {
  /** Most completions in one part. Default: no limit. */
  readonly maxSequences?: number;
  /**
   * Most padded tokens in one part: rows x (longest prompt + longest completion). Default 32768. A worker that computes a
   * prompt once for all its completions needs less.
   */
  readonly maxTokens?: number;
}

/** Padded tokens of a part on the padded path: the most it can cost. */
export function paddedTokens(groups: readonly TrainGroup[]): number {
  const rows = groups.reduce((total, group) => total + group.sequences.length, 0);
  const prompt = Math.max(0, ...groups.map((group) => group.promptIds.length));
  const completion = Math.max(0, ...groups.flatMap((group) => group.sequences.map((one) => one.tokenIds.length)));
  return rows * (prompt + completion);
}

/** Cuts one group into pieces of at most `limit` completions, each with its own first index. */
function cut(group: TrainGroup, limit: number): TrainGroup[] {
  if (group.sequences.length <= limit) return [group];
  const pieces: TrainGroup[] = [];
  for (let first = 0; first < group.sequences.length; first += limit) {
    pieces.push({
      ...group,
      firstIndex: group.firstIndex + first,
      sequences: group.sequences.slice(first, first + limit),
    });
  }
  return pieces;
}

/**
 * Packs groups into parts, in order, whole groups first; a group that alone exceeds a limit is cut.
 *
 * @returns parts in the order of the batch; together they hold every completion exactly once
 */
export function planParts(groups: readonly TrainGroup[], options: PlannerOptions = {}): TrainGroup[][] {
  const { maxSequences = Number.POSITIVE_INFINITY, maxTokens = 32768 } = options;
  const pieces = groups.flatMap((group) => {
    const rowTokens = paddedTokens([group]) / Math.max(1, group.sequences.length);
    const rows = Math.max(1, Math.min(maxSequences, Math.floor(maxTokens / Math.max(1, rowTokens))));
    return cut(group, rows);
  });

  const parts: TrainGroup[][] = [];
  let part: TrainGroup[] = [];
  let rows = 0;
  for (const piece of pieces) {
    const fits = rows + piece.sequences.length <= maxSequences && paddedTokens([...part, piece]) <= maxTokens;
    if (part.length > 0 && !fits) {
      parts.push(part);
      part = [];
      rows = 0;
    }
    part.push(piece);
    rows += piece.sequences.length;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

/** Rows x tokens that are sampled in one call: bounds the key-value cache, not the result. */
const SAMPLED_TOKENS = 131_072;

/** Cuts a list of prompts into calls of `generate`, in order, so that no call holds too many tokens at once. */
export function planPrompts<P extends { readonly tokenIds: Int32Array }>(
  prompts: readonly P[],
  samples: number,
  maxCompletionLength: number,
): P[][] {
  const size = (prompt: P): number => samples * (prompt.tokenIds.length + maxCompletionLength);
  return cutBySize(prompts, size, SAMPLED_TOKENS);
}

/** Cuts a list, in order, so that the sizes of a piece add up to `limit` at most; a larger item stands alone. */
export function cutBySize<T>(items: readonly T[], sizeOf: (item: T) => number, limit: number): T[][] {
  const pieces: T[][] = [];
  let total = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const size = sizeOf(item);
    if (total + size > limit) {
      pieces.push([]);
      total = 0;
    }
    pieces.at(-1)!.push(item);
    total += size;
  }
  return pieces;
}
