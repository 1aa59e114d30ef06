/**
 * Calls to several workers at once: all of them answer, or the call fails with what tells most.
 *
 * @module
 */
import { setMaxListeners } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { ThurstoneError, WorkerError } from "../errors.js";
import type { Caller, Reply } from "../bridge/index.js";

/** One worker and its number. */
export interface Rank {
  readonly number: number;
  readonly call: Caller["call"];
}

/** The workers of a policy. */
export interface Ranks {
  readonly count: number;
  readonly first: Rank;
  /**
   * Does the same with every rank, side by side. When one fails, the others are told to stop, and waited for.
   *
   * @param work gets a signal that aborts when another rank has failed, or when the caller's does
   * @returns results by rank
   * @throws the failure from which the others follow
   */
  each<T>(signal: AbortSignal | undefined, work: (rank: Rank, options: RankOptions) => Promise<T>): Promise<T[]>;
  /** Whether after this failure of `each` no rank is to be asked any more: one waits for another in vain. */
  areLost(failure: unknown): boolean;
  /** One call to all. @returns replies by rank */
  all(method: string, params: Parameters<Caller["call"]>[1], signal?: AbortSignal): Promise<Reply[]>;
}

/** What every call to a rank is to be made with. */
export interface RankOptions {
  readonly signal?: AbortSignal;
}

/** What a rank says that waited for another one in vain; the state of all of them is then lost. */
const LOST_RANKS = "COLLECTIVE_FAILED";

/** What became of a call that was given up; the rank itself may still be at it. */
const GIVEN_UP = "BRIDGE_CANCELLED";

/** What a rank says that only noticed another one's failure. */
const FOLLOWING: readonly string[] = [GIVEN_UP, "OTHER_RANK_FAILED", LOST_RANKS];

/** What can take a rank out of the middle of a pass; the others, where all make it together, wait for it and hear nothing. */
const LEAVES_PASS: readonly string[] = ["OUT_OF_MEMORY", "WORKER_EXCEPTION"];

/** Milliseconds in which a rank answers after another one gave up waiting for it; then it is the one that is stuck. */
const GRACE = 5000;

/** Milliseconds in which the end of a process is told: those that waited for it may notice first, and cannot say why. */
const NOTICE = 1000;

export interface RanksOptions {
  /** Whether all ranks make every pass together. Default false. */
  readonly inStep?: boolean;
  /** See `GRACE`. */
  readonly grace?: number;
  /** See `NOTICE`. */
  readonly notice?: number;
}

/** @param calls one per rank, at least one */
export function createRanks(
  calls: readonly Caller["call"][],
  { inStep = false, grace = GRACE, notice = NOTICE }: RanksOptions = {},
): Ranks {
  const ranks = calls.map((call, number): Rank => ({ number, call }));
  const [first] = ranks as [Rank];
  const leaving = new WeakSet<object>();

  async function each<T>(
    signal: AbortSignal | undefined,
    work: (rank: Rank, options: RankOptions) => Promise<T>,
  ): Promise<T[]> {
    if (ranks.length === 1) return [await work(first, signal === undefined ? {} : { signal })];
    const abort = new AbortController();
    const signals = signal === undefined ? [abort.signal] : [abort.signal, signal];
    const options = { signal: AbortSignal.any(signals) };
    // One listener for each rank's call is no leak.
    setMaxListeners(0, options.signal);
    const unanswered = new Set(ranks);
    const aborted = new Promise<void>((resolve) => {
      abort.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const lost = new Promise<unknown>((resolve) => {
      abort.signal.addEventListener("abort", () => {
        if (codeOf(abort.signal.reason) === LOST_RANKS) setTimeout(resolve, grace, abort.signal.reason).unref();
      });
    });
    const settled = Promise.allSettled(
      ranks.map(async (rank) => {
        try {
          return await work(rank, options);
        } catch (error) {
          if (codeOf(error) === LOST_RANKS) await Promise.race([wait(notice), aborted]);
          abort.abort(error);
          throw error;
        } finally {
          unanswered.delete(rank);
        }
      }),
    );
    const outcomes = await Promise.race([
      settled,
      lost.then((reason) => Promise.reject(stuck([...unanswered], reason))),
    ]);
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
    if (failures.length > 0) {
      const failure = failures.find((error) => !follows(error)) ?? failures[0];
      const left = inStep && LEAVES_PASS.includes(codeOf(failure) ?? "");
      if (left && failures.some((error) => codeOf(error) === GIVEN_UP)) leaving.add(failure as ThurstoneError);
      throw failure;
    }
    return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<T>).value);
  }

  return {
    count: ranks.length,
    first,
    each,
    areLost: (failure) => ThurstoneError.isInstance(failure) && (failure.code === LOST_RANKS || leaving.has(failure)),
    all: (method, params, signal) => each(signal, (rank, options) => rank.call(method, params, options)),
  };
}

function follows(error: unknown): boolean {
  return FOLLOWING.includes(codeOf(error) ?? "");
}

function codeOf(error: unknown): string | undefined {
  return ThurstoneError.isInstance(error) ? error.code : undefined;
}

function stuck(ranks: readonly Rank[], cause: unknown): WorkerError {
  const numbers = ranks.map(({ number }) => number);
  return new WorkerError(
    LOST_RANKS,
    `rank ${numbers.join(", ")} did not come to where the others waited, and does not answer: it is stuck, or slower than ` +
      "rank_timeout allows. The training state in memory is lost; resume from a checkpoint.",
    { cause, fields: { ranks: numbers } },
  );
}
