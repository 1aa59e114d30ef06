/**
 * Append-only files of JSON lines: one writer, any number of readers, a torn last line never harms anyone.
 *
 * A line is written with one system call and reaches the kernel before `append` returns, so a killed process loses
 * nothing. A write that fails half-way is cut off again, so that the next line does not land on its rest.
 *
 * @module
 */

import { closeSync, ftruncateSync, fstatSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { RunError } from "../errors.js";
import { fileFailure, isFileError, writingSync } from "./failures.js";

/** One line of a log: a JSON object. */
export type LogRecord = Readonly<Record<string, unknown>>;

/** The lines of a step in a file of its own, as completions and evaluations have one. */
export function linesOfStep(type: "rollout" | "evaluation", step: number, records: readonly LogRecord[]): LogRecord[] {
  return records.map((record, seq) => ({ seq, type, step, ...record }));
}

/** A file that is appended to, line by line. */
export interface JsonlWriter {
  readonly path: string;
  /** Writes the record with the next `seq` in front. Throws RUN_RECORD_INVALID or RUN_WRITE_FAILED. */
  append(record: LogRecord): void;
  close(): void;
}

/** Opens (or makes) `path` for appending; a torn last line is cut off, `seq` goes on where the file ends. */
export function openJsonl(path: string): JsonlWriter {
  const { descriptor, size, records } = writingSync("open", path, () => open(path));
  let end = size;
  let seq = nextSeq(records);
  return {
    path,
    append(record) {
      const line = Buffer.from(`${stringify(path, { seq, ...record })}\n`);
      try {
        writeAll(descriptor, line, end);
      } catch (error) {
        ftruncateSync(descriptor, end);
        throw fileFailure("RUN_WRITE_FAILED", "append to", path, error);
      }
      end += line.length;
      seq += 1;
    },
    close: () => closeSync(descriptor),
  };
}

/** All complete lines of a log, in order; none when the file does not exist. Throws RUN_LOG_DAMAGED for a broken line. */
export function readJsonl(path: string): LogRecord[] {
  return readLines(path).map(({ record }) => record);
}

/** A complete line: what it says and its bytes, line end included. */
export interface LogLine {
  readonly record: LogRecord;
  readonly bytes: Buffer;
}

/** Like readJsonl, with the bytes each record was read from. */
export function readLines(path: string): LogLine[] {
  return splitLines(readContent(path)).map((bytes, index) => ({ record: parseLine(path, index + 1, bytes), bytes }));
}

/**
 * The lines before the first broken one, which nothing intact may stand behind: after a power cut a file can end in zeros
 * where lines were not on the disk yet.
 *
 * @throws RunError RUN_LOG_DAMAGED for a broken line among others
 */
export function readIntactLines(path: string): { readonly lines: readonly LogLine[]; readonly damaged: boolean } {
  const content = readContent(path);
  const parts = splitLines(content);
  const lines: LogLine[] = [];
  let broken: number | undefined;
  for (const [index, bytes] of parts.entries()) {
    const record = parseObject(bytes);
    if (record === undefined) broken ??= index;
    else if (broken !== undefined) throw damagedLine(path, broken + 1);
    else lines.push({ record, bytes });
  }
  return { lines, damaged: lines.reduce((sum, { bytes }) => sum + bytes.length, 0) < content.length };
}

function readContent(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return Buffer.alloc(0);
    throw fileFailure("RUN_READ_FAILED", "read", path, error);
  }
}

/** Complete lines with their ends; bytes behind the last line end are a line still being written, or torn. */
export function splitLines(content: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = content.indexOf(10); end !== -1; end = content.indexOf(10, start)) {
    lines.push(content.subarray(start, end + 1));
    start = end + 1;
  }
  return lines;
}

/** @param line 1-based, for the message */
export function parseLine(path: string, line: number, bytes: Buffer): LogRecord {
  const record = parseObject(bytes);
  if (record === undefined) throw damagedLine(path, line);
  return record;
}

function parseObject(bytes: Buffer): LogRecord | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as LogRecord;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return undefined;
}

function damagedLine(path: string, line: number): RunError {
  return new RunError(
    "RUN_LOG_DAMAGED",
    `${path}:${line} is not a JSON object. The file was changed by hand or by the disk.`,
    {
      fields: { path, line },
    },
  );
}

function open(path: string): { descriptor: number; size: number; records: LogRecord[] } {
  mkdirSync(dirname(path), { recursive: true });
  const lines = readLines(path);
  const size = lines.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const descriptor = openSync(path, "a+");
  if (fstatSync(descriptor).size > size) ftruncateSync(descriptor, size);
  return { descriptor, size, records: lines.map(({ record }) => record) };
}

function nextSeq(records: readonly LogRecord[]): number {
  const last = records.at(-1)?.["seq"];
  return typeof last === "number" ? last + 1 : records.length;
}

function stringify(path: string, record: LogRecord): string {
  try {
    return JSON.stringify(record);
  } catch (cause) {
    throw new RunError(
      "RUN_RECORD_INVALID",
      `a record of type ${JSON.stringify(record["type"])} cannot be written to ${path}: it holds something JSON has no form for.`,
      { cause, fields: { path } },
    );
  }
}

function writeAll(descriptor: number, bytes: Buffer, position: number): void {
  for (let written = 0; written < bytes.length;) {
    written += writeSync(descriptor, bytes, written, bytes.length - written, position + written);
  }
}
