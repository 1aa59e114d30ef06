/**
 * Counts the seconds in which the worker was asked for something, however many calls overlap.
 *
 * @module
 */

export interface Meter {
  /** Runs `work` and counts its time as busy. */
  during<T>(work: () => Promise<T>): Promise<T>;
  /** Seconds so far in which at least one call was under way. */
  seconds(): number;
}

/** @param now a monotonic clock in milliseconds */
export function createMeter(now: () => number = () => performance.now()): Meter {
  let running = 0;
  let since = 0;
  let total = 0;
  return {
    async during(work) {
      if (running === 0) since = now();
      running += 1;
      try {
        return await work();
      } finally {
        running -= 1;
        if (running === 0) total += now() - since;
      }
    },
    seconds: () => (total + (running > 0 ? now() - since : 0)) / 1000,
  };
}
