/**
 * Tables of JSON: a list of objects, or an object per line. Nested fields are columns of their own, with dots:
 * `image.0`, `conversations.1.value`.
 *
 * @module
 */
import type { DataProblem } from "../problems.js";
import type { NumberedLine } from "../text-lines.js";
import { flattenFields } from "./flatten-fields.js";
import type { Table, TableRow } from "./table.js";

interface Entry {
  readonly line: number;
  readonly text: string;
}

export function parseJsonlTable(file: string, lines: readonly NumberedLine[]): Omit<Table, "file"> {
  return parseEntries(file, lines);
}

export function parseJsonTable(file: string, lines: readonly NumberedLine[]): Omit<Table, "file"> {
  const entries = entriesOf(lines);
  if (entries !== null) return parseEntries(file, entries);
  const message =
    "the file is not a list of objects: [{...}, {...}]. Give such a list, or an object per line (.jsonl).";
  return { columns: [], rows: [], problems: [{ code: "DATA_NOT_JSON", file, line: lines[0]!.line, message }] };
}

function parseEntries(file: string, entries: readonly Entry[]): Omit<Table, "file"> {
  const problems: DataProblem[] = [];
  const read: TableRow[] = [];
  for (const { line, text } of entries) {
    const parsed = parseObject(text);
    if ("problem" in parsed) problems.push({ code: "DATA_NOT_JSON", file, line, message: parsed.problem });
    else read.push({ line, cells: Object.fromEntries(flattenFields("", parsed.value, cellOf)) });
  }
  const columns = [...new Set(read.flatMap(({ cells }) => Object.keys(cells)))];
  // A field that an object lacks is an empty cell, as null is.
  const blank = Object.fromEntries(columns.map((column) => [column, ""]));
  return { columns, rows: read.map(({ line, cells }) => ({ line, cells: { ...blank, ...cells } })), problems };
}

function parseObject(text: string): { readonly value: object } | { readonly problem: string } {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { value };
    return { problem: "the entry is no JSON object." };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { problem: `the entry is not JSON: ${error.message}.` };
  }
}

/** JSON has no other leaves than these. */
function cellOf(value: unknown): string {
  return value === null ? "" : String(value as string | number | boolean).trim();
}

/** The entries of a list with the lines they begin on, which JSON.parse does not tell; null when it is no list. */
function entriesOf(lines: readonly NumberedLine[]): Entry[] | null {
  const entries: Entry[] = [];
  let depth = 0;
  let lists = 0;
  let inText = false;
  let escaped = false;
  let begun: { readonly line: number; text: string } | null = null;
  const finish = (): void => {
    if (begun !== null) entries.push(begun);
    begun = null;
  };
  for (const { line, text } of lines) {
    for (const character of text) {
      const outside = depth === 0;
      if (inText) {
        if (!escaped && character === '"') inText = false;
        escaped = !escaped && character === "\\";
      } else if (character === '"') inText = true;
      else if ("[{".includes(character)) depth += 1;
      else if ("]}".includes(character)) depth -= 1;
      if (outside && character.trim() !== "") {
        lists += 1;
        if (character !== "[" || lists > 1) return null;
      }
      const separates = !inText && (depth === 0 || (depth === 1 && character === ","));
      if (separates) finish();
      else if (begun !== null) begun.text += character;
      else if (!outside && character.trim() !== "") begun = { line, text: character };
    }
  }
  return depth === 0 && begun === null ? entries : null;
}
