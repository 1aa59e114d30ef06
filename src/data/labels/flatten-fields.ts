/**
 * Nested objects as columns, with dots: `image.0`, `conversations.1.value`.
 *
 * @module
 */

/** @param leaf a value that is no list and no object, as a cell; dates are leaves */
export function flattenFields(prefix: string, value: unknown, leaf: (value: unknown) => string): [string, string][] {
  const nested = typeof value === "object" && value !== null && !(value instanceof Date);
  if (!nested) return [[prefix, leaf(value)]];
  return Object.entries(value).flatMap(([key, inner]) =>
    flattenFields(prefix === "" ? key : `${prefix}.${key}`, inner, leaf),
  );
}
