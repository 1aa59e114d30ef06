/**
 * A text file as numbered lines, with what kept it from being read.
 *
 * @module
 */
import { createReadStream } from "node:fs";
import { TextDecoder } from "node:util";
import type { DataProblem } from "./problems.js";

export interface NumberedLine {
  /** 1-based. */
  readonly line: number;
  readonly text: string;
}

/** A line as it stands in the file. */
export interface ByteLine {
  /** 1-based. */
  readonly line: number;
  /** Of its first byte in the file. */
  readonly offset: number;
  /** Without the line break. */
  readonly content: Buffer;
}

export interface TextLines {
  /** Without empty ones. */
  readonly lines: readonly NumberedLine[];
  readonly problems: readonly DataProblem[];
}

/** Reads up to the first line that is not UTF-8; never throws for the file's content. */
export async function readLines(file: string): Promise<TextLines> {
  const lines: NumberedLine[] = [];
  try {
    for await (const read of byteLines(file)) {
      for (const { line, content } of read) {
        const text = decodeLine(content);
        if (text === null) return { lines, problems: [notUtf8(file, line)] };
        if (text.trim() !== "") lines.push({ line, text });
      }
    }
  } catch (error) {
    return { lines: [], problems: [unreadable(file, error)] };
  }
  return { lines, problems: [] };
}

/** Why a file cannot be read at all. */
export function unreadable(file: string, error: unknown): DataProblem {
  const reason = error instanceof Error ? error.message : String(error);
  const message = `cannot be read: ${reason}. Paths are relative to ${process.cwd()}.`;
  return { code: "DATA_FILE_UNREADABLE", file, line: null, message };
}

/** That a line is no text. */
export function notUtf8(file: string, line: number): DataProblem {
  const message = "the line is not UTF-8 text. Save the file as UTF-8.";
  return { code: "DATA_NOT_UTF8", file, line, message };
}

/** Bytes read at a time. */
const CHUNK = 1 << 20;

/**
 * The lines of a file, as many at a time as were read. Splits bytes, not text: a file may be longer than the longest
 * string or than memory, and a bad byte spoils one line only.
 */
export async function* byteLines(file: string): AsyncGenerator<ByteLine[]> {
  let line = 1;
  let offset = 0;
  /** Pieces of a line whose end was not read yet. */
  let begun: Buffer[] = [];
  const finish = (last: Buffer): ByteLine => {
    const content = begun.length === 0 ? last : Buffer.concat([...begun, last]);
    const finished = { line, offset, content };
    begun = [];
    line += 1;
    offset += content.length + 1;
    return finished;
  };
  for await (const chunk of createReadStream(file, { highWaterMark: CHUNK }) as AsyncIterable<Buffer>) {
    const lines: ByteLine[] = [];
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      lines.push(finish(chunk.subarray(start, end)));
      start = end + 1;
    }
    if (start < chunk.length) begun.push(chunk.subarray(start));
    yield lines;
  }
  if (begun.length > 0) yield [finish(Buffer.alloc(0))];
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Null for what is not UTF-8. A byte order mark at the start is dropped, as the decoder does by default. */
export function decodeLine(content: Buffer): string | null {
  try {
    return decoder.decode(content);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
