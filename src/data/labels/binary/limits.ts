/**
 * How much a file of labels may make of itself: an honest list of a million pictures stays well within.
 *
 * @module
 */
export const LIMITS = {
  /** Of a spreadsheet or MATLAB file. */
  fileBytes: 256 * 2 ** 20,
  /** What is packed in such a file, unpacked; of one page of a parquet file. */
  unpackedBytes: 64 * 2 ** 20,
  rows: 1_000_000,
  /** Of the process that reads it. */
  heapMiB: 256,
  milliseconds: 60_000,
} as const;
