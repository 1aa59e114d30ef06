/**
 * Keeps what was made last, so that neighbouring steps share a layout and memory stays bounded.
 *
 * @module
 */

/** A pass and the one before it. */
const KEPT = 2;

/** @param make a pure function: what was dropped is made again */
export function keepLatest<T>(make: (number: number) => T): (number: number) => T {
  const kept = new Map<number, T>();
  return (number) => {
    const known = kept.get(number);
    if (known !== undefined) return known;
    const made = make(number);
    if (kept.size === KEPT) kept.delete(kept.keys().next().value!);
    kept.set(number, made);
    return made;
  };
}
