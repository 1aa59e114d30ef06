/**
 * Label files as tables: named columns, rows of texts with the line each stands on, and what is wrong with the rest.
 *
 * A reader of another format is one more branch of `openTable`: all that follows sees a Table.
 *
 * @module
 */
import { access } from "node:fs/promises";
import { extname } from "node:path";
import { DataError } from "../../errors.js";
import type { DataProblem } from "../problems.js";
import { readLines, unreadable, type TextLines } from "../text-lines.js";
import { joinVectors, readMatlabFiles } from "./binary/matlab.js";
import { readInChild, type ChildProblem } from "./binary/read-in-child.js";
import { parseJsonTable, parseJsonlTable } from "./json-table.js";
import { tableOfRows, type RowsOptions } from "./rows.js";
import { parseSeparated } from "./separated.js";

type TextFormat = "csv" | "tsv" | "spaces" | "json" | "jsonl";
type BinaryFormat = "xlsx" | "parquet" | "mat";

/**
 * "spaces" is any run of white space; "json" a list of objects; "jsonl" one object per line; "xlsx" an Excel sheet; "mat"
 * the vectors of MATLAB 5 files, side by side.
 */
export type TableFormat = TextFormat | BinaryFormat;

export interface TableRow {
  /** 1-based: the line on which it begins, the row of a sheet, the position in a vector. */
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
  /** Of columns that are in other files than `file`. */
  readonly fileOf?: Readonly<Record<string, string>>;
}

export interface ReadTableOptions extends RowsOptions {
  /** Default: by the file's ending; .txt is "spaces". A binary file is what its ending says, whatever stands here. */
  readonly format?: TableFormat;
  /** Of a spreadsheet. Default: the first. */
  readonly sheet?: string;
}

const FORMAT_OF_ENDING: Readonly<Record<string, TableFormat>> = {
  ".csv": "csv",
  ".tsv": "tsv",
  ".txt": "spaces",
  ".json": "json",
  ".jsonl": "jsonl",
  ".xlsx": "xlsx",
  ".parquet": "parquet",
  ".mat": "mat",
};

const BINARY: readonly TableFormat[] = ["xlsx", "parquet", "mat"] satisfies readonly BinaryFormat[];

/** A file that is read once, however often it is looked at as a table. */
export type OpenTable = (options?: ReadTableOptions) => Promise<Table>;

/**
 * Reads what can be read and lists what cannot; never throws for the file's content.
 *
 * @param files one, or several of MATLAB, whose vectors are columns of one table
 * @throws DataError DATA_TABLE_FORMAT when the ending does not tell the format; EnvironmentError where MATLAB files cannot be
 *   read here
 */
export function openTable(files: readonly string[]): OpenTable {
  const [file] = files as readonly [string];
  const ending = extname(file).toLowerCase();
  const text = lazily(() => readLines(file));
  const vectors = lazily(() => readMatlabFiles(files));
  const parquet = lazily(() => readInChild({ format: "parquet", file }));
  const sheets = lazily((sheet?: string) => readInChild({ format: "xlsx", file, sheet }));
  const missing = lazily(() =>
    access(file).then(
      () => null,
      (error: unknown) => unreadable(file, error),
    ),
  );
  return async (options = {}) => {
    const format = options.format ?? formatOf(file);
    const kind = FORMAT_OF_ENDING[ending] ?? format;
    if (ending === ".xls") return unread(file, OLD_SHEET);
    if (!BINARY.includes(kind)) {
      if (BINARY.includes(format)) return unread(file, { code: "DATA_TABLE_FORMAT", message: `is no ${format} file.` });
      return tableOfText(file, await text(), { ...options, format: format as TextFormat });
    }
    if (kind === "mat") return joinVectors(await vectors(), options.wanted);
    const problem = await missing();
    if (problem !== null) return unread(file, problem);
    const read = kind === "parquet" ? await parquet() : await sheets(options.sheet);
    if ("problem" in read) return unread(file, read.problem);
    if (read.rows.length === 0) return unread(file, EMPTY);
    if (!("columns" in read)) return { file, ...tableOfRows(file, read.rows, options) };
    const rows = read.rows.map((cells, index) => ({ line: index + 1, cells }));
    return { file, ...tableOfRows(file, rows, { columns: read.columns }) };
  };
}

/** Calls `read` once for each argument, when it is first asked. */
function lazily<T>(read: (argument?: string) => Promise<T>): (argument?: string) => Promise<T> {
  const known = new Map<string | undefined, Promise<T>>();
  return (argument) => {
    const promise = known.get(argument) ?? read(argument);
    known.set(argument, promise);
    return promise;
  };
}

const EMPTY = { code: "DATA_FILE_EMPTY", message: "has no rows." };
const OLD_SHEET = {
  code: "DATA_TABLE_FORMAT",
  message: "is an Excel sheet of before 2007, which is not read. Save it as .xlsx or CSV.",
};

function unread(
  file: string,
  ...problems: readonly (ChildProblem["problem"] | Pick<DataProblem, "code" | "message">)[]
): Table {
  return { file, columns: [], rows: [], problems: problems.map((problem) => ({ file, line: null, ...problem })) };
}

function tableOfText(
  file: string,
  { lines, problems }: TextLines,
  { format, ...options }: RowsOptions & { readonly format: TextFormat },
): Table {
  if (lines.length === 0) return unread(file, ...(problems.length > 0 ? problems : [EMPTY]));
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
    `${file} ends in "${ending}", and label files are read that end in ${Object.keys(FORMAT_OF_ENDING).join(", ")}. Save it as one of them, or say which it is (--format).`,
    { fields: { file } },
  );
}
