/**
 * JSON in which numbers that are not finite survive, as `{"__float__": "nan"}`, "inf" or "-inf"; thurstone_runtime/shim.py
 * is the other side.
 *
 * @module
 */

const FLOAT = "__float__";
const VALUES: Readonly<Record<string, number>> = {
  nan: Number.NaN,
  inf: Number.POSITIVE_INFINITY,
  "-inf": Number.NEGATIVE_INFINITY,
};

/** Throws TypeError for what JSON has no form for: a bigint, a circle. */
export function encode(value: unknown): string {
  return JSON.stringify(value, (_, entry: unknown) => {
    if (typeof entry !== "number" || Number.isFinite(entry)) return entry;
    return { [FLOAT]: Object.keys(VALUES).find((name) => Object.is(VALUES[name], entry)) };
  });
}

export function decode(json: string): unknown {
  return JSON.parse(json, (_, entry: unknown) => {
    if (typeof entry !== "object" || entry === null || !(FLOAT in entry)) return entry;
    const name = (entry as { readonly [FLOAT]: unknown })[FLOAT];
    return Object.keys(entry).length === 1 && typeof name === "string" ? (VALUES[name] ?? entry) : entry;
  });
}
