/**
 * A JSON file of a known shape.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { DataError } from "../errors.js";

/** @throws DataError DATA_FILE_UNREADABLE with what is wrong: not there, not JSON, or of another shape */
export async function readJsonFile<T>(file: string, schema: z.ZodType<T>): Promise<T> {
  try {
    return schema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new DataError("DATA_FILE_UNREADABLE", `${file} cannot be used: ${reason}`, {
      cause: error,
      fields: { file },
    });
  }
}
