/**
 * A batch worked off in parts by all ranks side by side, and their answers put back in the order of the batch.
 *
 * @module
 */
import type { PictureCarrier } from "./pictures.js";
import { inOrder } from "./rank-planner.js";
import type { RankPlanner } from "./rank-planner.js";
import type { Rank, RankOptions, Ranks } from "./ranks.js";
import type { TrainBatch, TrainGroup } from "./types.js";

/** What the parts of a batch gave. */
export interface PartAnswers<T> {
  /** Parts that each rank worked off. */
  readonly passes: number;
  /** By rank, part after part. */
  all(): T[];
  /** One answer per completion, under its group, in the order of the batch. */
  perGroup(): T[][];
}

/** Works off a batch: `work` makes the call for one part, the `pass`-th of its rank. */
export type PartRunner = <T>(
  batch: TrainBatch,
  signal: AbortSignal | undefined,
  work: (rank: Rank, groups: readonly TrainGroup[], options: RankOptions, pass: number) => Promise<readonly T[]>,
) => Promise<PartAnswers<T>>;

/** What a part runner works with. */
export interface PartRunnerOptions {
  readonly ranks: Ranks;
  readonly planner: RankPlanner;
  readonly carrier: PictureCarrier;
  /** Whether the ranks train one model, so that all of them must make as many calls. */
  readonly together: boolean;
}

export function createPartRunner({ ranks, planner, carrier, together }: PartRunnerOptions): PartRunner {
  return async (batch, signal, work) => {
    const shares = planner.share(batch);
    const answers = await ranks.each(signal, async (rank, options) => {
      const { parts } = shares[rank.number]!;
      if (ranks.count > 1) await carrier.bring(rank, parts.flat(), options);
      const rows: Awaited<ReturnType<typeof work>>[number][] = [];
      for (const [pass, groups] of parts.entries()) {
        if (groups.length > 0 || together) rows.push(...(await work(rank, groups, options, pass)));
      }
      return rows;
    });
    const indices = shares.map((share) => share.indices);
    return {
      passes: shares[0]!.parts.length,
      all: () => answers.flat(),
      perGroup: () =>
        inOrder(
          indices,
          answers.map((rows, rank) =>
            underGroups(
              indices[rank]!.map((index) => batch.groups[index]!),
              rows,
            ),
          ),
        ),
    };
  };
}

/** One entry per completion, under its group; the planner may have cut groups, and keeps their order. */
function underGroups<T>(groups: TrainBatch["groups"], rows: readonly T[]): T[][] {
  let at = 0;
  return groups.map((group) => rows.slice(at, (at += group.sequences.length)));
}
