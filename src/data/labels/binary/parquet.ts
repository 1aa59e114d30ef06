/**
 * Rows of a parquet file. Runs in a process of its own (read-in-child.ts), which bounds memory and time.
 *
 * Columns of pictures, as data sets of the Hugging Face hub have them, are passed over.
 *
 * @module
 */
import * as zlib from "node:zlib";
import {
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetReadObjects,
  snappyUncompress,
  type Compressors,
  type FileMetaData,
} from "hyparquet";
import { flattenFields } from "../flatten-fields.js";
import { cellOf } from "./cells.js";
import { LIMITS } from "./limits.js";
import { TableProblem } from "./table-problem.js";

export interface ParquetTable {
  readonly columns: readonly string[];
  /** In the file's order; cells as the columns have it. */
  readonly rows: readonly (readonly string[])[];
}

/** Bytes of a cell, on average over its column, from which on it is no label. */
const LARGE_CELL = 4096;

/** @throws TableProblem; whatever the library throws for a broken file */
export async function readParquet(path: string): Promise<ParquetTable> {
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  const count = Number(metadata.num_rows);
  if (count > LIMITS.rows) {
    throw new TableProblem("DATA_TABLE_TOO_LARGE", `has ${count} rows; at most ${LIMITS.rows} are read.`);
  }
  const columns = smallColumns(metadata);
  const objects = columns.length === 0 ? [] : await parquetReadObjects({ file, metadata, columns, compressors });
  const flat = objects.map((object) => new Map(flattenFields("", object, cellOf)));
  const names = [...new Set(flat.flatMap((fields) => [...fields.keys()]))];
  return { columns: names, rows: flat.map((fields) => names.map((name) => fields.get(name) ?? "")) };
}

function smallColumns({ row_groups: groups, num_rows: count }: FileMetaData): string[] {
  const bytes = new Map<string, number>();
  for (const { meta_data: chunk } of groups.flatMap((group) => group.columns)) {
    if (chunk === undefined) continue;
    const [column] = chunk.path_in_schema;
    bytes.set(column!, (bytes.get(column!) ?? 0) + Number(chunk.total_uncompressed_size));
  }
  // A few rows weigh as much as their column's dictionary.
  return [...bytes].filter(([, size]) => size <= LARGE_CELL * (Number(count) + 16)).map(([column]) => column);
}

/** Each unpacks a page to the size that its header states, and to nothing beyond. */
const compressors: Compressors = {
  SNAPPY: (input, length) => {
    const output = new Uint8Array(checked(length));
    snappyUncompress(input, output);
    return output;
  },
  GZIP: (input, length) => zlib.gunzipSync(input, { maxOutputLength: checked(length) }),
  BROTLI: (input, length) => zlib.brotliDecompressSync(input, { maxOutputLength: checked(length) }),
  ZSTD: (input, length) => unpackZstd()(input, { maxOutputLength: checked(length) }),
};

type Unpack = (input: Uint8Array, options: { readonly maxOutputLength: number }) => Uint8Array;

function unpackZstd(): Unpack {
  const { zstdDecompressSync } = zlib as { readonly zstdDecompressSync?: Unpack };
  if (zstdDecompressSync !== undefined) return zstdDecompressSync;
  const message = `is packed with zstd, which Node ${process.version} cannot unpack. Use Node 22.15 or later, or write it with compression="snappy".`;
  throw new TableProblem("DATA_TABLE_BROKEN", message);
}

function checked(length: number): number {
  if (length <= LIMITS.unpackedBytes) return length;
  const message = `is too large for a list of labels: a page of it would unpack to ${length} bytes.`;
  throw new TableProblem("DATA_TABLE_TOO_LARGE", message);
}
