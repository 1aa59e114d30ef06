/**
 * The process behind `readInChild`: reads one file; its parent ends it.
 *
 * @module
 */
import { TableProblem } from "./table-problem.js";
import type { ChildAnswer, ChildRequest } from "./read-in-child.js";

process.once("message", (request: ChildRequest) => {
  void read(request)
    .catch(inWords)
    .then((answer) => process.send?.(answer));
});
process.once("disconnect", () => process.exit());

async function read({ format, file, sheet }: ChildRequest): Promise<ChildAnswer> {
  // Each library takes its time to load.
  if (format === "parquet") return (await import("./parquet.js")).readParquet(file);
  return { rows: await (await import("./sheet.js")).readSheetRows(file, sheet) };
}

function inWords(error: unknown): ChildAnswer {
  if (error instanceof TableProblem) return { problem: { code: error.code, message: error.message } };
  const reason = error instanceof Error ? error.message : String(error);
  return { problem: { code: "DATA_TABLE_BROKEN", message: `is damaged or something else: ${reason}.` } };
}
