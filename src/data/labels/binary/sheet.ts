/**
 * Rows of an Excel sheet (.xlsx). Runs in a process of its own (read-in-child.ts), which bounds memory and time.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { unzipSync } from "fflate";
import { readSheet } from "read-excel-file/universal";
import { cellOf, type CellRow } from "./cells.js";
import { LIMITS } from "./limits.js";
import { TableProblem } from "./table-problem.js";

/** @throws TableProblem; whatever the library throws for a broken file */
export async function readSheetRows(file: string, sheet: string | undefined): Promise<CellRow[]> {
  const { size } = await stat(file);
  if (size > LIMITS.fileBytes) throw tooLarge(`it has ${size} bytes`);
  const bytes = await readFile(file);
  refuseBombs(bytes);
  const content = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  const rows = await readSheet(content, sheet ?? 1).catch((error: unknown) => {
    if (error instanceof Error && error.name === "SheetNotFoundError") {
      throw new TableProblem("DATA_TABLE_SHEET", `has no such sheet: ${error.message}`);
    }
    throw error;
  });
  return rows.map((cells, index) => ({ line: index + 1, cells: cells.map(cellOf) }));
}

/** By the sizes that the archive states: what is unpacked never exceeds them, true or not. */
function refuseBombs(bytes: Uint8Array): void {
  let unpacked = 0;
  unzipSync(bytes, {
    filter: ({ originalSize }) => {
      unpacked += originalSize;
      return false;
    },
  });
  if (unpacked > LIMITS.unpackedBytes) throw tooLarge(`it would unpack to ${unpacked} bytes`);
}

function tooLarge(found: string): TableProblem {
  return new TableProblem("DATA_TABLE_TOO_LARGE", `is too large for a list of labels: ${found}. Save it as CSV.`);
}
