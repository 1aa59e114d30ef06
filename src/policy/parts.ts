/**
 * A batch worked off in parts by all ranks side by side, and their answers put back in the order of the batch.
 *
 * @module
 */
import { WorkerError } from "../errors.js";
import type { PictureCarrier } from "./pictures.js";
import { packedTokens } from "./planner.js";
import { inOrder } from "./rank-planner.js";
import type { RankPlanner, RankShare } from "./rank-planner.js";
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

/** Makes the call for one part, the `pass`-th of its rank. */
type PartWork<T> = (
  rank: Rank,
  groups: readonly TrainGroup[],
  options: RankOptions,
  pass: number,
) => Promise<readonly T[]>;

/**
 * Works off a batch. When a worker runs out of memory, all of it is done once more in parts of half the size, which stay so.
 *
 * @param undo takes back what was done of the batch, before it is done once more; null where that cannot be
 * @throws WorkerError OUT_OF_MEMORY when there is no smaller part, or the smaller ones are too large as well
 */
export type PartRunner = <T>(
  batch: TrainBatch,
  signal: AbortSignal | undefined,
  work: PartWork<T>,
  undo?: (() => Promise<void>) | null,
) => Promise<PartAnswers<T>>;

/** What a part runner works with. */
export interface PartRunnerOptions {
  readonly ranks: Ranks;
  readonly planner: RankPlanner;
  readonly carrier: PictureCarrier;
  /** Whether the ranks train one model, so that all of them must make as many calls. */
  readonly together: boolean;
  /** Whether ranks pass by themselves, so that one which runs out of memory leaves no other waiting. */
  readonly apart: boolean;
}

export function createPartRunner({ ranks, planner, carrier, together, apart }: PartRunnerOptions): PartRunner {
  return async (batch, signal, work, undo = async () => undefined) => {
    const shares = planner.share(batch);
    try {
      return await workOff(shares, batch, signal, work);
    } catch (error) {
      const parts = shares.flatMap((share) => share.parts);
      const largest = Math.max(...parts.map(packedTokens));
      const divisible = parts.some((part) => part.length > 1 || (part[0]?.sequences.length ?? 0) > 1);
      if (!isFull(error) || !apart || undo === null || !divisible) throw error;
      planner.lower(Math.floor(largest / 2));
      await undo();
      return await workOff(planner.share(batch), batch, signal, work).catch((second: unknown) => {
        throw isFull(second) ? stillFull(second, largest) : second;
      });
    }
  };

  async function workOff<T>(
    shares: readonly RankShare[],
    batch: TrainBatch,
    signal: AbortSignal | undefined,
    work: PartWork<T>,
  ): Promise<PartAnswers<T>> {
    const answers = await ranks.each(signal, async (rank, options) => {
      const { parts } = shares[rank.number]!;
      if (ranks.count > 1) await carrier.bring(rank, parts.flat(), options);
      const rows: T[] = [];
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
  }
}

function isFull(error: unknown): error is WorkerError {
  return error instanceof WorkerError && error.code === "OUT_OF_MEMORY";
}

function stillFull(error: WorkerError, largest: number): WorkerError {
  return new WorkerError(
    error.code,
    `${error.message} Parts of ${largest} tokens were too large, and so are those of ${Math.floor(largest / 2)}: set ` +
      "max_tokens_per_part lower than that. `thurstone train --dry-run` shows what else would help.",
    { cause: error, fields: { ...error.fields, tokens: Math.floor(largest / 2) } },
  );
}

/** One entry per completion, under its group; the planner may have cut groups, and keeps their order. */
function underGroups<T>(groups: TrainBatch["groups"], rows: readonly T[]): T[][] {
  let at = 0;
  return groups.map((group) => rows.slice(at, (at += group.sequences.length)));
}
