/**
 * A file of results: one JSON line per finished run, only ever added to, so that an interrupted benchmark goes on where it
 * was.
 *
 * @module
 */
import { appendFile, readFile } from "node:fs/promises";
import type { z } from "zod";

/**
 * @returns the results so far; none where there is no file
 * @throws Error naming the line that is no result
 */
export async function readRecords<Schema extends z.ZodType>(file: string, schema: Schema): Promise<z.output<Schema>[]> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line, index) => {
    try {
      return schema.parse(JSON.parse(line));
    } catch (cause) {
      throw new Error(`${file}:${index + 1} is no result of this benchmark; remove the line, or name another file.`, {
        cause,
      });
    }
  });
}

/** Adds a finished run. */
export async function appendRecord<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
  result: unknown,
): Promise<z.output<Schema>> {
  const record = schema.parse(result);
  await appendFile(file, `${JSON.stringify(record)}\n`);
  return record;
}

/** @throws Error when a result under a run's name was made with other settings, data or checkpoint */
export function requireSame(name: string, done: { readonly digest: string }, run: { readonly digest: string }): void {
  if (done.digest === run.digest) return;
  throw new Error(
    `the results hold "${name}" made with other settings, data or checkpoint. Name another results file, or ask for what that one was made with.`,
  );
}
