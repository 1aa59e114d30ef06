/**
 * Random draws that share no state: every draw is a hash of what it is for, so neither order, batching nor resuming can
 * change it. The worker computes the same function (docs/protocol.md section 5).
 *
 * Source: the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
 *
 * @module
 */

/** Numbers that keep draws for different purposes apart; part of the wire protocol. */
export const seedStreams = { train: 1, eval: 2, order: 3, dropout: 4, warmup: 5, unreadable: 6, adapter: 7 } as const;

/**
 * One scrambling of 64 bits: every bit of the input affects every bit of the result.
 *
 * @param value any integer; taken modulo 2^64
 * @returns an unsigned 64-bit integer
 */
export function mix64(value: bigint): bigint {
  let x = BigInt.asUintN(64, value + 0x9e3779b97f4a7c15n);
  x = BigInt.asUintN(64, (x ^ (x >> 30n)) * 0xbf58476d1ce4e5b9n);
  x = BigInt.asUintN(64, (x ^ (x >> 27n)) * 0x94d049bb133111ebn);
  return x ^ (x >> 31n);
}

/**
 * Folds integers into one key: `mix64(... mix64(mix64(seed ^ a) ^ b) ...)`.
 *
 * @param seed a run's seed, or a key to derive another from
 * @param parts integers; negative ones count as two's complement
 * @returns an unsigned 64-bit integer; a BigInt64Array stores it as the wire wants it
 */
export function foldKey(seed: number | bigint, ...parts: readonly (number | bigint)[]): bigint {
  return parts.reduce<bigint>((key, part) => mix64(key ^ unsigned(part)), unsigned(seed));
}

function unsigned(value: number | bigint): bigint {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new RangeError(`foldKey: ${value} is not an integer within 53 bits, so it cannot be part of a key`);
  }
  return BigInt.asUintN(64, BigInt(value));
}

/** @returns the upper 53 bits of a key as a number in [0, 1). */
export function uniform(key: bigint): number {
  return Number(BigInt.asUintN(64, key) >> 11n) * 2 ** -53;
}

/**
 * Fisher and Yates' shuffle.
 *
 * @param key names the draw; the same key gives the same order
 * @returns a new array
 */
export function shuffle<T>(items: readonly T[], key: bigint): T[] {
  const shuffled = [...items];
  shuffleInPlace(shuffled, key);
  return shuffled;
}

/** The same within an array, or a typed array, that is given. */
export function shuffleInPlace<T>(items: { [index: number]: T; readonly length: number }, key: bigint): void {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(uniform(foldKey(key, last)) * (last + 1));
    [items[last], items[other]] = [items[other]!, items[last]!];
  }
}
