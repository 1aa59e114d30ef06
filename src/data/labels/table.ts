/**
 * Label files as tables: named columns, rows of texts with the line each stands on, and what is wrong with the rest.
 *
 * A reader of another format is one more branch of `openTable`: all that follows sees a Table.
 *
 * @module
 */
import { extname } from "node:path";
import { DataError } from "../../errors.js";
import type { DataProblem } from "../problems.js";
import { readLines } from "../text-lines.js";
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

export const TABLE_FORMATS: readonly TableFormat[] = Object.values(FORMAT_OF_ENDING);

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
  const once = new Map<string, Promise<unknown>>();
  const remember = <T>(key: string, read: () => Promise<T>): Promise<T> => {
    const known = once.get(key) ?? read();
    once.set(key, known);
    return known as Promise<T>;
  };
  const ending = FORMAT_OF_ENDING[extname(file).toLowerCase()];
  return async (options = {}) => {
    const format = options.format ?? formatOf(file);
    const binary = ending === undefined ? format : ending;
    if (extname(file).toLowerCase() === ".xls") return unread(file, OLD_SHEET);
    if (!BINARY.includes(binary)) {
      if (BINARY.includes(format)) return unread(file, { code: "DATA_TABLE_FORMAT", message: `is no ${format} file.` });
      const { lines, problems } = await remember("text", () => readLines(file));
      if (lines.length === 0) return unread(file, ...(problems.length > 0 ? problems : [EMPTY]));
      const table = parseText(file, lines, { ...options, format: format as TextFormat });
      return { file, ...table, problems: [...problems, ...table.problems] };
    }
    if (binary === "mat") return joinVectors(await remember("mat", () => readMatlabFiles(files)), options.wanted);
    const { sheet } = options;
    if (binary === "parquet") {
      const read = await remember("parquet", () => readInChild({ format: "parquet", file }));
      if ("problem" in read) return unread(file, read.problem);
      const rows = read.rows.map((cells, index) => ({ line: index + 1, cells }));
      return rows.length === 0 ? unread(file, EMPTY) : { file, ...tableOfRows(file, rows, { columns: read.columns }) };
    }
    const read = await remember(`sheet ${sheet}`, () => readInChild({ format: "xlsx", file, sheet }));
    if ("problem" in read) return unread(file, read.problem);
    return read.rows.length === 0 ? unread(file, EMPTY) : { file, ...tableOfRows(file, read.rows, options) };
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

function parseText(
  file: string,
  lines: Parameters<typeof parseJsonTable>[1],
  { format, ...options }: RowsOptions & { readonly format: TextFormat },
): Omit<Table, "file"> {
  if (format === "json") return parseJsonTable(file, lines);
  if (format === "jsonl") return parseJsonlTable(file, lines);
  return parseSeparated(file, lines, { ...options, separator: format });
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
