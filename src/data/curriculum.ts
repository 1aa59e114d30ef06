/**
 * What a curriculum sorts a row by.
 *
 * @module
 */
import type { RowWithoutPictures } from "./build-row.js";

/** Rates a row, for example by how hard it is; any finite number. Pictures may not have been looked up yet. */
export type CurriculumFunction = (row: RowWithoutPictures) => number;

/** Gives the value, or what is wrong with it, in words. */
export type CurriculumReader = (row: RowWithoutPictures) => { readonly value: number } | { readonly problem: string };

/**
 * @param key field of the data file
 * @param rate counts instead of the field
 * @returns null where nothing is to be sorted
 */
export function curriculumReader(key: string | null, rate: CurriculumFunction | undefined): CurriculumReader | null {
  if (rate !== undefined) {
    return (row) => {
      const value = rate(row);
      return Number.isFinite(value)
        ? { value }
        : { problem: `the curriculum's function gives ${String(value)} for this row; it must give a finite number.` };
    };
  }
  if (key === null) return null;
  return (row) => {
    const value = fieldOf(row, key);
    if (typeof value === "number" && Number.isFinite(value)) return { value };
    const found = value === undefined ? "is missing" : `is ${JSON.stringify(value)}`;
    return {
      problem: `"${key}" ${found}, and curriculum_key sorts by it; it must be a finite number. Add it, or choose another curriculum_key.`,
    };
  };
}

/** A field under the name that it has in the data file. */
function fieldOf(row: RowWithoutPictures, key: string): unknown {
  const known: Readonly<Record<string, unknown>> = {
    mos: row.mos,
    mos_std: row.mosStd,
    level: row.level,
    type: row.type,
    group: row.group,
  };
  return known[key] ?? row.extra[key];
}
