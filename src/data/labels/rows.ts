/**
 * Rows of cells as a table: which of them is the header, and which have another number of cells.
 *
 * @module
 */
import type { DataProblem } from "../problems.js";
import type { CellRow } from "./binary/cells.js";
import type { Table, TableRow } from "./table.js";

export interface RowsOptions {
  /** Of a file without a header. Default: the first row with all of `wanted`, or the very first, has them. */
  readonly columns?: readonly string[];
  /** Rows to pass over before the first. Default 0. */
  readonly skip?: number;
  /** Names that the header has among others. */
  readonly wanted?: readonly string[];
}

export function tableOfRows(file: string, read: readonly CellRow[], options: RowsOptions): Omit<Table, "file"> {
  const { columns: given, skip = 0, wanted = [] } = options;
  const problems: DataProblem[] = [];
  const report = (line: number, message: string): void => {
    problems.push({ code: "DATA_TABLE_ROW", file, line, message });
  };
  // A spreadsheet writes its empty rows as separators alone.
  const filled = read.filter(({ cells }) => cells.some((cell) => cell !== "")).slice(skip);
  const header = filled.findIndex(({ cells }) => wanted.every((name) => cells.includes(name)));
  const body = given === undefined ? filled.slice(Math.max(0, header)) : filled;
  const columns = given ?? body[0]?.cells ?? [];
  // A column without a name can be asked for by nobody.
  const named = columns.filter((column) => column !== "");
  const double = named.find((column, index) => named.indexOf(column) !== index);
  if (double !== undefined) report(body[0]?.line ?? 1, `two columns are called "${double}"; names must differ.`);

  const rows: TableRow[] = [];
  for (const { line, cells } of given === undefined ? body.slice(1) : body) {
    if (cells.length === columns.length) {
      const entries = columns.map((column, index) => [column, cells[index]!] as const);
      rows.push({ line, cells: Object.fromEntries(entries.filter(([column]) => column !== "")) });
    } else {
      const found = `the line has ${cells.length} columns`;
      report(line, `${found}; it must have ${columns.length}: ${columns.join(", ")}.`);
    }
  }
  return { columns: named, rows, problems };
}
