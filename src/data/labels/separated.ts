/**
 * Tables of separated values: commas with quotes as of RFC 4180, tabulators, or white space.
 *
 * @module
 */
import type { DataProblem } from "../problems.js";
import type { NumberedLine } from "../text-lines.js";
import type { CellRow } from "./binary/cells.js";
import { tableOfRows, type RowsOptions } from "./rows.js";
import type { Table } from "./table.js";

export interface SeparatedOptions extends RowsOptions {
  readonly separator: "csv" | "tsv" | "spaces";
}

export function parseSeparated(
  file: string,
  lines: readonly NumberedLine[],
  { separator, ...options }: SeparatedOptions,
): Omit<Table, "file"> {
  const problems: DataProblem[] = [];
  const report = (line: number, message: string): void => {
    problems.push({ code: "DATA_TABLE_ROW", file, line, message });
  };
  const read =
    separator === "spaces" ? lines.map(splitAtSpaces) : splitQuoted(lines, separator === "csv" ? "," : "\t", report);
  const table = tableOfRows(file, read, options);
  return { ...table, problems: [...problems, ...table.problems] };
}

function splitAtSpaces({ line, text }: NumberedLine): CellRow {
  return { line, cells: text.trim().split(/\s+/) };
}

/** A quoted cell may hold separators, doubled quotes and line breaks; empty lines within it are lost. */
function splitQuoted(
  lines: readonly NumberedLine[],
  separator: string,
  report: (line: number, message: string) => void,
): CellRow[] {
  const read: CellRow[] = [];
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
