/**
 * Tables of separated values: commas with quotes as of RFC 4180, tabulators, or white space.
 *
 * @module
 */
import type { DataProblem } from "../problems.js";
import type { NumberedLine } from "../text-lines.js";
import type { Table, TableRow } from "./table.js";

export interface SeparatedOptions {
  readonly separator: "csv" | "tsv" | "spaces";
  /** Of a file without a header. Default: the first line. */
  readonly columns?: readonly string[];
  /** Rows to pass over before the first. Default 0. */
  readonly skip?: number;
}

interface Cells {
  readonly line: number;
  readonly cells: readonly string[];
}

export function parseSeparated(
  file: string,
  lines: readonly NumberedLine[],
  { separator, columns: given, skip = 0 }: SeparatedOptions,
): Omit<Table, "file"> {
  const problems: DataProblem[] = [];
  const report = (line: number, message: string): void => {
    problems.push({ code: "DATA_TABLE_ROW", file, line, message });
  };
  const read =
    separator === "spaces" ? lines.map(splitAtSpaces) : splitQuoted(lines, separator === "csv" ? "," : "\t", report);
  // A spreadsheet writes its empty rows as separators alone.
  const filled = read.filter(({ cells }) => cells.some((cell) => cell !== "")).slice(skip);
  const columns = given ?? filled[0]?.cells ?? [];
  const double = columns.find((column, index) => columns.indexOf(column) !== index);
  if (double !== undefined) report(filled[0]?.line ?? 1, `two columns are called "${double}"; names must differ.`);

  const rows: TableRow[] = [];
  for (const { line, cells } of given === undefined ? filled.slice(1) : filled) {
    if (cells.length === columns.length) {
      rows.push({ line, cells: Object.fromEntries(columns.map((column, index) => [column, cells[index]!])) });
    } else {
      const found = `the line has ${cells.length} columns`;
      report(line, `${found}; it must have ${columns.length}: ${columns.join(", ")}.`);
    }
  }
  return { columns, rows, problems };
}

function splitAtSpaces({ line, text }: NumberedLine): Cells {
  return { line, cells: text.trim().split(/\s+/) };
}

/** A quoted cell may hold separators, doubled quotes and line breaks; empty lines within it are lost. */
function splitQuoted(
  lines: readonly NumberedLine[],
  separator: string,
  report: (line: number, message: string) => void,
): Cells[] {
  const read: Cells[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    const { line, text: first } = lines[index]!;
    let text = withoutReturn(first);
    let last = index;
    while (isOpen(text, separator) && last + 1 < lines.length) {
      last += 1;
      text += `\n${withoutReturn(lines[last]!.text)}`;
    }
    if (isOpen(text, separator)) {
      // The rest of the file is in this cell, so only its own line is given up.
      report(line, 'a quote (") is opened and not closed. Close it, or double it where it is part of the text.');
    } else {
      read.push({ line, cells: cellsOf(text, separator).cells });
      index = last;
    }
  }
  return read;
}

function withoutReturn(text: string): string {
  return text.endsWith("\r") ? text.slice(0, -1) : text;
}

function isOpen(text: string, separator: string): boolean {
  return text.includes('"') && cellsOf(text, separator).open;
}

function cellsOf(text: string, separator: string): { readonly cells: readonly string[]; readonly open: boolean } {
  if (!text.includes('"')) return { cells: text.split(separator).map((cell) => cell.trim()), open: false };
  const cells: string[] = [];
  let cell = "";
  let open = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!;
    if (open) {
      if (character !== '"') cell += character;
      else if (text[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else open = false;
    } else if (character === '"' && cell.trim() === "") {
      open = true;
      cell = "";
    } else if (character === separator) {
      cells.push(cell.trim());
      cell = "";
    } else cell += character;
  }
  return { cells: [...cells, cell.trim()], open };
}
