/**
 * A text file as numbered lines, with what kept it from being read.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { TextDecoder } from "node:util";
import type { DataProblem } from "./problems.js";

export interface NumberedLine {
  /** 1-based. */
  readonly line: number;
  readonly text: string;
}

export interface TextLines {
  /** Without empty ones. */
  readonly lines: readonly NumberedLine[];
  readonly problems: readonly DataProblem[];
}

/** Reads up to the first line that is not UTF-8; never throws for the file's content. */
export async function readLines(file: string): Promise<TextLines> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `cannot be read: ${reason}. Paths are relative to ${process.cwd()}.`;
    return { lines: [], problems: [{ code: "DATA_FILE_UNREADABLE", file, line: null, message }] };
  }

  const lines: NumberedLine[] = [];
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (const { line, content } of linesOf(bytes)) {
    const text = decodeLine(decoder, content);
    if (text === null) {
      const message = "the line is not UTF-8 text. Save the file as UTF-8.";
      return { lines, problems: [{ code: "DATA_NOT_UTF8", file, line, message }] };
    }
    if (text.trim() !== "") lines.push({ line, text });
  }
  return { lines, problems: [] };
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
