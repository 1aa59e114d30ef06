/**
 * Rows of JSONL files that are larger than memory: an index of their lines, and the rows themselves when they are due.
 *
 * The index is made in one pass that checks every line as `loadRows` does, but for pictures. Of a row it keeps where its
 * line stands, a checksum of it, and what the order of rows depends on: about 50 bytes.
 *
 * @module
 */
import { hash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { readKeys } from "../config/index.js";
import type { ConfigInput } from "../config/index.js";
import { DataError } from "../errors.js";
import { buildRows, interpretRecord } from "./build-row.js";
import type { RowContext, RowWithoutPictures } from "./build-row.js";
import { curriculumReader } from "./curriculum.js";
import type { CurriculumFunction, CurriculumReader } from "./curriculum.js";
import { parseJsonl } from "./jsonl.js";
import { foldersOf, missingFolders, requireFiles, SOURCE_KEYS } from "./load-rows.js";
import type { LoadRowsOptions, RowSource } from "./load-rows.js";
import { createColumn, createTableBuilder } from "./order/table.js";
import type { OrderTable, TableBuilder } from "./order/table.js";
import { isKadidHeader } from "./presets/kadid.js";
import { dataError } from "./problems.js";
import type { DataProblem } from "./problems.js";
import { RECORD_FORMATS } from "./record.js";
import type { NumberedRecord } from "./record.js";
import type { Row } from "./row.js";
import { byteLines, decodeLine, notUtf8, unreadable } from "./text-lines.js";
import type { ByteLine } from "./text-lines.js";

/** Rows that are not in memory. `createSampler` draws from it. */
export interface RowIndex {
  /** Rows of all files. */
  readonly length: number;
  readonly table: OrderTable;
  /** What its curriculum was made from: a key of the rows, or a function; null: there is none. */
  readonly sortedBy: { readonly key: string } | "function" | null;
  /**
   * Reads rows by their place, from 0, in the order of files and lines.
   *
   * @throws DataError with every problem of these rows by file and line; DATA_FILE_CHANGED for a file that is not the
   *   one that was indexed
   */
  read(places: readonly number[]): Promise<Row[]>;
}

/** Options of `indexRows`. */
export interface IndexRowsOptions extends LoadRowsOptions {
  /** Sorts each pass instead of `curriculum_key`. */
  readonly curriculum?: CurriculumFunction;
}

/** Problems after which the pass gives up. */
const MOST_PROBLEMS = 1000;

/** What is kept of a file. */
interface IndexedFile {
  readonly context: RowContext;
  readonly size: number;
  readonly modified: number;
  /** Place of its first row among all. */
  readonly first: number;
  /** [rows] */
  readonly offsets: Float64Array;
  readonly lengths: Uint32Array;
  readonly lines: Uint32Array;
  readonly checksums: Uint32Array;
}

/**
 * Indexes the files of `data_file_paths`, which must be JSONL; `curriculum_key` counts as in `createSampler`.
 *
 * @throws DataError with the problems of all files in its message and in `fields.problems`, as `loadRows`; of pictures
 *   only their folders are looked for
 */
export async function indexRows(
  config: RowSource & Partial<Pick<ConfigInput, "curriculum_key">>,
  options: IndexRowsOptions = {},
): Promise<RowIndex> {
  const source = readKeys(config, SOURCE_KEYS);
  const { curriculum_key: key } = readKeys(config, ["curriculum_key"]);
  requireFiles(source);
  const curriculum = curriculumReader(key, options.curriculum);
  const table = createTableBuilder();
  const problems = await missingFolders(source);
  const files: IndexedFile[] = [];
  for (const [index, file] of source.data_file_paths.entries()) {
    const folders = foldersOf(index, source) ?? [dirname(file)];
    const context: RowContext = { file, index, folders, dataset: null, source, answers: options.answers ?? "score" };
    const first = files.reduce((total, one) => total + one.lines.length, 0);
    const indexed = await indexFile({ context, table, curriculum, problems, first });
    if (indexed !== null) files.push(indexed);
  }
  if (problems.length > 0) throw dataError(problems);
  const built = table.build(curriculum !== null);
  const sortedBy = options.curriculum !== undefined ? "function" : key === null ? null : { key };
  return { length: built.length, table: built, sortedBy, read: (places) => readRows(files, places) };
}

function stoppedAt({ line }: ByteLine, file: string): DataProblem {
  const message = "reading of this file stopped here, after so many problems. There may be more further down.";
  return { code: "DATA_MANY_PROBLEMS", file, line, message };
}

interface Indexing {
  readonly context: RowContext;
  readonly table: TableBuilder;
  readonly curriculum: CurriculumReader | null;
  /** Where what is wrong is added. */
  readonly problems: DataProblem[];
  readonly first: number;
}

/** @returns null when the file cannot be read */
async function indexFile({ context, table, curriculum, problems, first }: Indexing): Promise<IndexedFile | null> {
  const { file } = context;
  const before = problems.length;
  const offsets = createColumn((length) => new Float64Array(length));
  const lengths = createColumn((length) => new Uint32Array(length));
  const lines = createColumn((length) => new Uint32Array(length));
  const checksums = createColumn((length) => new Uint32Array(length));
  const ids = createColumn((length) => new Float64Array(length));
  const add = ({ line, offset, content }: ByteLine, row: RowWithoutPictures): void => {
    const found = curriculum === null ? { value: 0 } : curriculum(row);
    if ("problem" in found) problems.push({ code: "DATA_CURRICULUM", file, line, message: found.problem });
    table.add(row, "value" in found ? found.value : NaN);
    offsets.push(offset);
    lengths.push(content.length);
    lines.push(line);
    checksums.push(crc32(content));
    ids.push(idHash(row.id));
  };

  let status;
  try {
    status = await stat(file);
    reading: for await (const read of byteLines(file)) {
      for (const one of read) {
        const { record, found } = parseLine(one, context);
        const row = record === null ? null : interpretRecord(record, context);
        problems.push(...found, ...(row?.problems ?? []));
        if (row !== null && row.row !== null) add(one, row.row);
        const hopeless = found.some(({ code }) => code === "DATA_NOT_JSONL");
        if (problems.length - before >= MOST_PROBLEMS) problems.push(stoppedAt(one, file));
        if (hopeless || problems.length - before >= MOST_PROBLEMS) break reading;
      }
    }
  } catch (error) {
    problems.push(unreadable(file, error));
    return null;
  }
  const indexed = {
    context,
    size: status.size,
    modified: status.mtimeMs,
    first,
    offsets: offsets.values(),
    lengths: lengths.values(),
    lines: lines.values(),
    checksums: checksums.values(),
  };
  if (problems.length === before) {
    if (lines.length() === 0) problems.push({ code: "DATA_FILE_EMPTY", file, line: null, message: "has no rows." });
    problems.push(...(await duplicateIds(indexed, ids.values())));
  }
  return indexed;
}

/** Nothing for an empty line. */
function parseLine(
  { line, content }: ByteLine,
  { file, answers }: RowContext,
): { readonly record: NumberedRecord | null; readonly found: readonly DataProblem[] } {
  const text = decodeLine(content);
  if (text === null) return { record: null, found: [notUtf8(file, line)] };
  if (text.trim() === "") return { record: null, found: [] };
  if (line === 1 && isKadidHeader(text)) {
    const message =
      "is a list of scores, and dataset_streaming reads JSONL files only. Set dataset_streaming to false.";
    return { record: null, found: [{ code: "DATA_NOT_JSONL", file, line, message }] };
  }
  const { records, problems } = parseJsonl(file, [{ line, text }], RECORD_FORMATS[answers]);
  return { record: records[0] ?? null, found: problems };
}

/** 53 bits of an id. */
function idHash(id: string): number {
  return Number(hash("sha1", id, "buffer").readBigUInt64LE() >> 11n);
}

/** Ids themselves would not fit into memory: lines whose hashes agree are read again. */
async function duplicateIds(file: IndexedFile, hashes: Float64Array): Promise<DataProblem[]> {
  const sorted = hashes.toSorted();
  const twice = new Set(sorted.filter((one, index) => one === sorted[index - 1]));
  if (twice.size === 0) return [];
  const suspects = [...hashes.keys()].filter((row) => twice.has(hashes[row]!)).slice(0, MOST_PROBLEMS);
  const lineOfId = new Map<string, number>();
  const problems: DataProblem[] = [];
  for (const { line, record } of await readRecords(file, suspects)) {
    const earlier = lineOfId.get(record.id);
    if (earlier === undefined) lineOfId.set(record.id, line);
    else {
      const message = `the id "${record.id}" is taken by line ${earlier}. Ids must differ within a file.`;
      problems.push({ code: "DATA_DUPLICATE_ID", file: file.context.file, line, message });
    }
  }
  return problems;
}

/** Rows by place, in the order asked for. */
async function readRows(files: readonly IndexedFile[], places: readonly number[]): Promise<Row[]> {
  const rows = new Map<number, Row>();
  const problems: DataProblem[] = [];
  for (const file of files) {
    const own = places.filter((place) => place >= file.first && place < file.first + file.lines.length);
    if (own.length === 0) continue;
    const records = await readRecords(
      file,
      own.map((place) => place - file.first),
    );
    const built = await buildRows(records, file.context);
    problems.push(...built.problems);
    const placeOfLine = new Map(own.map((place) => [file.lines[place - file.first]!, place]));
    for (const row of built.rows) rows.set(placeOfLine.get(row.source.line)!, row);
  }
  if (problems.length > 0) throw dataError(problems);
  return places.map((place) => rows.get(place)!);
}

/** @param rows by their number within the file */
async function readRecords(file: IndexedFile, rows: readonly number[]): Promise<NumberedRecord[]> {
  await using handle = await openIndexed(file);
  return await Promise.all(rows.map((row) => readRecord(handle, file, row)));
}

async function readRecord(handle: FileHandle, file: IndexedFile, row: number): Promise<NumberedRecord> {
  const content = Buffer.alloc(file.lengths[row]!);
  const line = file.lines[row]!;
  await handle.read({ buffer: content, position: file.offsets[row]! });
  if (crc32(content) !== file.checksums[row]) throw fileChanged(file, `line ${line} is another one`);
  // The very bytes that were found to be a record.
  return parseLine({ line, offset: file.offsets[row]!, content }, file.context).record!;
}

async function openIndexed(file: IndexedFile): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(file.context.file);
  } catch (error) {
    throw dataError([unreadable(file.context.file, error)]);
  }
  const { size, mtimeMs } = await handle.stat();
  if (size === file.size && mtimeMs === file.modified) return handle;
  await handle.close();
  throw fileChanged(file, size === file.size ? "it was written to" : `it has ${size} bytes and had ${file.size}`);
}

function fileChanged({ context: { file } }: IndexedFile, how: string): DataError {
  return new DataError(
    "DATA_FILE_CHANGED",
    `${file} has changed since its lines were indexed: ${how}. With dataset_streaming rows are read when their batch is due, so the file must stay as it is while it is in use. Restore it and resume from the last checkpoint, or begin a new run.`,
    { fields: { file } },
  );
}
