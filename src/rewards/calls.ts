/**
 * How the calls of a reward are made: so many at a time, so long each, tried so often.
 *
 * What returns at once is not slowed down: only what waits is timed.
 *
 * @module
 */

import { setMaxListeners } from "node:events";
import { ConfigError } from "../errors.js";

/** Limits of a reward that waits for something. A call is one completion, prompt or step, as its scope says. */
export interface RewardCalls {
  /** Calls under way at the same time, at most. Default: as many as there are. */
  readonly concurrency?: number;
  /** Milliseconds that each try of a call may take; null: as long as it likes. Default 600000, ten minutes. */
  readonly timeoutMs?: number | null;
  /** Further tries after one that threw or took too long. Default 0. */
  readonly retries?: number;
  /** Milliseconds before the first further try; they double with each one, up to a minute. Default 1000. */
  readonly backoffMs?: number;
  /** Whether a further try makes sense after this error; null: the try took too long. Default: always. */
  readonly retryOn?: (error: unknown) => boolean;
}

/** Waits, or rejects when the signal is aborted. */
export type Sleep = (milliseconds: number, signal: AbortSignal) => Promise<unknown>;

/** How a call ended. */
export type CallOutcome<T> =
  | { readonly value: T }
  | {
      /** What was thrown by the last try; null when it took too long. */
      readonly error: unknown;
      readonly late: boolean;
      readonly tries: number;
    };

const TEN_MINUTES = 600_000;
const MINUTE = 60_000;
/** Timers of Node hold 31 bits. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** @throws ConfigError CONFIG_REWARD_CALLS */
export function checkCalls(reward: string, calls: RewardCalls): RewardCalls {
  const whole = (least: number) => (value: number) => Number.isInteger(value) && value >= least;
  const duration = (value: number): boolean => value >= 0 && value <= LONGEST_TIMER;
  const rules = [
    ["concurrency", calls.concurrency, whole(1), "a whole number of at least 1"],
    ["timeoutMs", calls.timeoutMs ?? undefined, (ms: number) => ms > 0 && duration(ms), "milliseconds, or null"],
    ["retries", calls.retries, whole(0), "a whole number of at least 0"],
    ["backoffMs", calls.backoffMs, duration, "milliseconds"],
  ] as const;
  for (const [option, value, accepts, expected] of rules) {
    if (value === undefined || accepts(value)) continue;
    throw new ConfigError(
      "CONFIG_REWARD_CALLS",
      `${option} of the reward "${reward}" is ${value}; it must be ${expected}.`,
      { fields: { reward, option, value } },
    );
  }
  const { concurrency, timeoutMs, retries, backoffMs, retryOn } = calls;
  return Object.freeze({
    ...(concurrency !== undefined && { concurrency }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(retries !== undefined && { retries }),
    ...(backoffMs !== undefined && { backoffMs }),
    ...(retryOn !== undefined && { retryOn }),
  });
}

/** Seconds a try of this reward may take; null: no limit. */
export function timeLimit({ timeoutMs = TEN_MINUTES }: RewardCalls): number | null {
  return timeoutMs === null ? null : timeoutMs / 1000;
}

/**
 * @param signal gives everything up: no try begins any more, and those under way hear of it
 * @returns makes one call, under the limits that all calls made with it share
 */
export function createCalls(
  { concurrency = Infinity, timeoutMs = TEN_MINUTES, retries = 0, backoffMs = 1000, retryOn = () => true }: RewardCalls,
  { signal, sleep }: { readonly signal: AbortSignal; readonly sleep: Sleep },
): <T>(work: (signal: AbortSignal) => T | PromiseLike<T>) => Promise<CallOutcome<T>> {
  const gate = createGate(concurrency);

  async function tryOnce<T>(work: (signal: AbortSignal) => T | PromiseLike<T>): Promise<CallOutcome<T>> {
    const own = new AbortController();
    // Whoever judges a whole step may hand it to hundreds of requests, which is no leak.
    setMaxListeners(0, own.signal);
    const giveUp = (): void => own.abort(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      const answer = work(own.signal);
      if (!isThenable(answer)) return { value: answer };
      if (timeoutMs === null) return { value: await answer };
      const late: Promise<CallOutcome<T>> = sleep(timeoutMs, own.signal).then(() => LATE);
      return await Promise.race([Promise.resolve(answer).then((value) => ({ value })), late]);
    } catch (error) {
      return { error, late: false, tries: 1 };
    } finally {
      signal.removeEventListener("abort", giveUp);
      own.abort(OVER);
    }
  }

  async function untilAnswered<T>(work: (signal: AbortSignal) => T | PromiseLike<T>): Promise<CallOutcome<T>> {
    for (let tries = 1; ; tries += 1) {
      signal.throwIfAborted();
      const outcome = await tryOnce(work);
      if ("value" in outcome) return outcome;
      if (tries > retries || !retryOn(outcome.error)) return { ...outcome, tries };
      await sleep(Math.min(MINUTE, backoffMs * 2 ** (tries - 1)), signal);
    }
  }

  return async (work) => {
    await gate.enter();
    const outcome = await untilAnswered(work);
    // One that failed keeps its place: the step is lost, and nobody else needs to begin.
    if ("value" in outcome) gate.leave();
    return outcome;
  };
}

/** Why a call's signal ends with it; made once, since every completion has a call and an exception its stack. */
const OVER = new DOMException("the call is over.", "AbortError");

const LATE = { error: null, late: true, tries: 1 } as const;

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | null)?.then === "function";
}

/** Lets so many in at a time, the others in the order in which they came. */
function createGate(places: number): { enter(): Promise<void> | undefined; leave(): void } {
  let free = places;
  const waiting: (() => void)[] = [];
  return {
    enter() {
      if (free > 0) {
        free -= 1;
        return undefined;
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
    leave() {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    },
  };
}
