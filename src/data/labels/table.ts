/**
 * Label files as tables: named columns, rows of texts with the line each stands on, and what is wrong with the rest.
 *
 * A reader of another format (a spreadsheet, say) is one more branch of `readTable`: all that follows sees a Table.
 *
 * @module
 */
import { extname } from "node:path";
import { DataError } from "../../errors.js";
import type { DataProblem } from "../problems.js";
import { readLines } from "../text-lines.js";
import { parseJsonTable, parseJsonlTable } from "./json-table.js";
import { parseSeparated } from "./separated.js";

/** "spaces" is any run of white space; "json" a list of objects; "jsonl" one object per line. */
export type TableFormat = "csv" | "tsv" | "spaces" | "json" | "jsonl";

export interface TableRow {
  /** 1-based; where it begins. */
  readonly line: number;
  /** By column, without white space around them; as many as the table has columns. */
  readonly cells: Readonly<Record<string, string>>;
}

export interface Table {
  /** As problems name it. */
  readonly file: string;
  readonly columns: readonly string[];
  readonly rows: readonly TableRow[];
  readonly problems: readonly DataProblem[];
}

export interface ReadTableOptions {
  /** Default: by the file's ending; .txt is "spaces". */
  readonly format?: TableFormat;
  /** Names of the columns of a file without a header; a file of objects needs none. Default: the first line has them. */
  readonly columns?: readonly string[];
  /** Rows to pass over before them. Default 0. */
  readonly skip?: number;
}

const FORMAT_OF_ENDING: Readonly<Record<string, TableFormat>> = {
  ".csv": "csv",
  ".tsv": "tsv",
  ".txt": "spaces",
  ".json": "json",
  ".jsonl": "jsonl",
};

/** No text, whatever a preset expects in them. */
const BINARY: Readonly<Record<string, string>> = {
  ".xlsx": "an Excel sheet",
  ".xls": "an Excel sheet",
  ".mat": "a MATLAB file",
  ".parquet": "a parquet file",
};

/**
 * Reads what can be read and lists what cannot; never throws for the file's content.
 *
 * @throws DataError DATA_TABLE_FORMAT when the ending does not tell the format
 */
export async function readTable(file: string, options: ReadTableOptions = {}): Promise<Table> {
  const format = options.format ?? formatOf(file);
  const binary = BINARY[extname(file).toLowerCase()];
  if (binary !== undefined) {
    const message = `is ${binary}, which is not read. Save it as CSV.`;
    return { file, columns: [], rows: [], problems: [{ code: "DATA_TABLE_FORMAT", file, line: null, message }] };
  }
  const { lines, problems } = await readLines(file);
  if (lines.length === 0) {
    const empty = { code: "DATA_FILE_EMPTY", file, line: null, message: "has no rows." };
    return { file, columns: options.columns ?? [], rows: [], problems: problems.length > 0 ? problems : [empty] };
  }
  const table =
    format === "json"
      ? parseJsonTable(file, lines)
      : format === "jsonl"
        ? parseJsonlTable(file, lines)
        : parseSeparated(file, lines, { ...options, separator: format });
  return { file, ...table, problems: [...problems, ...table.problems] };
}

/** @throws DataError DATA_TABLE_FORMAT */
export function formatOf(file: string): TableFormat {
  const ending = extname(file).toLowerCase();
  const format = FORMAT_OF_ENDING[ending];
  if (format !== undefined) return format;
  throw new DataError(
    "DATA_TABLE_FORMAT",
    `${file} ends in "${ending}", and label files are read that end in ${Object.keys(FORMAT_OF_ENDING).join(", ")}. Save it as one of them (a spreadsheet as CSV), or say which it is (--format).`,
    { fields: { file } },
  );
}
