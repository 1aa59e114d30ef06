/**
 * Values of binary files as the cells of a table.
 *
 * @module
 */

/** A row as its file has it. */
export interface CellRow {
  /** 1-based. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** Numbers in their shortest form that reads back as the same; nothing is an empty cell. */
export function cellOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "" : value.toISOString();
  if (typeof value === "string") return value.trim();
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value);
  return JSON.stringify(value);
}
