/**
 * Bounds how many jobs run at the same time.
 *
 * @module
 */

/** Runs a job as soon as a place is free; jobs start in the order in which they were given. */
export type Gate = <T>(job: () => Promise<T>) => Promise<T>;

/** @param places jobs that may run at the same time, at least 1 */
export function createGate(places: number): Gate {
  let free = places;
  const waiting: (() => void)[] = [];

  return async (job) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await job();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}
