/**
 * Times calls one after another and several at once.
 *
 * @module
 */

/** Microseconds of each of `count` calls made one after another. */
export async function timeCalls(count: number, call: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const began = performance.now();
    await call();
    times.push(1000 * (performance.now() - began));
  }
  return times;
}

/** Milliseconds that `count` calls take together with `inFlight` of them under way at a time. */
export async function timeTogether(count: number, inFlight: number, call: () => Promise<unknown>): Promise<number> {
  let left = count;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await call();
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: inFlight }, work));
  return performance.now() - began;
}

/** The value below which the given share of the values lies (nearest rank). */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
