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
  /** Most tokens in one part, as `packedTokens` counts them; a larger group is cut. Default 32768. */
  readonly maxTokens?: number;
  /** Groups join a part up to so many tokens; a group that is larger makes a part of its own. Default: `maxTokens`. */
  readonly targetTokens?: number;
}

/** Tokens of a part: each prompt once, and all its completions. */
export function packedTokens(groups: readonly TrainGroup[]): number {
  return groups.reduce(
    (total, { promptIds, sequences }) =>
      sequences.reduce((sum, { tokenIds }) => sum + tokenIds.length, total + promptIds.length),
    0,
  );
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
 * Packs groups into parts, in order, whole groups first; a group that alone exceeds a limit is cut, and every piece
 * computes the prompt anew.
 *
 * @returns parts in the order of the batch; together they hold every completion exactly once
 */
export function planParts(groups: readonly TrainGroup[], options: PlannerOptions = {}): TrainGroup[][] {
  const { maxSequences = Number.POSITIVE_INFINITY, maxTokens = 32768 } = options;
  const target = Math.min(maxTokens, options.targetTokens ?? maxTokens);
  const pieces = groups.flatMap((group) => {
    if (packedTokens([group]) <= maxTokens) return cut(group, maxSequences);
    const longest = Math.max(1, ...group.sequences.map(({ tokenIds }) => tokenIds.length));
    return cut(group, Math.max(1, Math.min(maxSequences, Math.floor((maxTokens - group.promptIds.length) / longest))));
  });

  const parts: TrainGroup[][] = [];
  let part: TrainGroup[] = [];
  let rows = 0;
  let tokens = 0;
  for (const piece of pieces) {
    const size = packedTokens([piece]);
    const fits = rows + piece.sequences.length <= maxSequences && tokens + size <= target;
    if (part.length > 0 && !fits) {
      parts.push(part);
      part = [];
      rows = 0;
      tokens = 0;
    }
    part.push(piece);
    rows += piece.sequences.length;
    tokens += size;
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
