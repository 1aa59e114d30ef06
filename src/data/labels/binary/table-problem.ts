/**
 * Why a binary file is no table, on its way from the process that reads it.
 *
 * @module
 */

/** `message` goes on from the file's name. */
export class TableProblem extends Error {
  override readonly name = "TableProblem";
  constructor(
    readonly code: "DATA_TABLE_BROKEN" | "DATA_TABLE_SHEET" | "DATA_TABLE_TOO_LARGE",
    message: string,
  ) {
    super(message);
  }
}
