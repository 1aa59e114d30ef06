/**
 * JSON in one form only: keys in order, so that equal content is equal bytes.
 *
 * @module
 */

/**
 * @param value plain data; `undefined` members are left out
 * @param indent spaces per level. Default: one line
 * @throws RangeError for a number that JSON cannot hold
 */
export function canonicalJson(value: unknown, indent = 0): string {
  return JSON.stringify(ordered(value), null, indent);
}

function ordered(value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new RangeError(`${value} cannot be written as JSON; what is not defined must be null`);
  }
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(ordered);
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, member]) => [key, ordered(member)]),
  );
}
