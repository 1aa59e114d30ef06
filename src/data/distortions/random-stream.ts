/**
 * Many random numbers from one key: noise needs one for every byte of a picture.
 *
 * Source: the generator sfc32 of PractRand (Chris Doty-Humphrey), which works on 32-bit integers only.
 *
 * @module
 */

/** Draws in the order in which they are asked for. */
export interface RandomStream {
  /** In [0, 1). */
  uniform(): number;
  /** Mean 0, variance 1. */
  normal(): number;
}

/** @param key an unsigned 64-bit integer that names the draws */
export function createRandomStream(key: bigint): RandomStream {
  let a = Number(key & 0xffffffffn) | 0;
  let b = Number((key >> 32n) & 0xffffffffn) | 0;
  let c = 0;
  let counter = 1;

  function next(): number {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  }
  // The first outputs still resemble the key.
  for (let round = 0; round < 12; round += 1) next();

  const uniform = (): number => next() * 2 ** -32;
  let spare: number | null = null;
  function normal(): number {
    if (spare !== null) {
      const value = spare;
      spare = null;
      return value;
    }
    // Box and Muller's transform; 1 - u keeps the logarithm finite.
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
  return { uniform, normal };
}
