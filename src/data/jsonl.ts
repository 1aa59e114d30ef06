/**
 * Reads one data file line by line: bytes to records, every problem with its line.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { TextDecoder } from "node:util";
import { issueInWords, recordSchema } from "./record.js";
import type { DataRecord } from "./record.js";
import type { DataProblem } from "./problems.js";

export interface NumberedRecord {
  /** 1-based. */
  readonly line: number;
  readonly record: DataRecord;
}

export interface ReadRecords {
  readonly records: readonly NumberedRecord[];
  readonly problems: readonly DataProblem[];
}

/** Reads what can be read and lists what cannot; never throws for the file's content. Empty lines are skipped. */
export async function readRecords(file: string): Promise<ReadRecords> {
  const problems: DataProblem[] = [];
  const report = (code: string, line: number | null, message: string): void => {
    problems.push({ code, file, line, message });
  };

  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    report("DATA_FILE_UNREADABLE", null, `cannot be read: ${reason}. Paths are relative to ${process.cwd()}.`);
    return { records: [], problems };
  }

  const records: NumberedRecord[] = [];
  const lineOfId = new Map<string, number>();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (const { line, content } of linesOf(bytes)) {
    const text = decodeLine(decoder, content);
    if (text === null) {
      report("DATA_NOT_UTF8", line, "the line is not UTF-8 text. Save the file as UTF-8.");
      break;
    }
    if (text.trim() === "") continue;

    const parsed = parseLine(text);
    if ("problem" in parsed) {
      report("DATA_NOT_JSON", line, parsed.problem);
      continue;
    }
    const result = recordSchema.safeParse(parsed.value);
    if (!result.success) {
      for (const issue of result.error.issues) report("DATA_FIELD", line, issueInWords(parsed.value, issue));
      continue;
    }
    const { id } = result.data;
    const earlier = lineOfId.get(id);
    if (earlier !== undefined) {
      report("DATA_DUPLICATE_ID", line, `the id "${id}" is taken by line ${earlier}. Ids must differ within a file.`);
      continue;
    }
    lineOfId.set(id, line);
    records.push({ line, record: result.data });
  }
  if (records.length === 0 && problems.length === 0) report("DATA_FILE_EMPTY", null, "has no rows.");
  return { records, problems };
}

/** Splits bytes, not text: a file may be longer than the longest string, and a bad byte spoils one line only. */
function* linesOf(bytes: Buffer): Generator<{ readonly line: number; readonly content: Buffer }> {
  let start = 0;
  for (let line = 1; start < bytes.length; line += 1) {
    const found = bytes.indexOf(0x0a, start);
    const end = found === -1 ? bytes.length : found;
    yield { line, content: bytes.subarray(start, end) };
    start = end + 1;
  }
}

/** A byte order mark at the start is dropped, as the decoder does by default. */
function decodeLine(decoder: TextDecoder, content: Buffer): string | null {
  try {
    return decoder.decode(content);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

function parseLine(text: string): { readonly value: unknown } | { readonly problem: string } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const hint = /\b(NaN|Infinity)\b/.test(text) ? " JSON has no NaN or Infinity: leave the row out." : "";
    return { problem: `the line is not JSON: ${error.message}.${hint}` };
  }
}
