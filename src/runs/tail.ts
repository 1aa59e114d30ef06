/**
 * Follows a log while it is written.
 *
 * Polls instead of watching: watchers miss changes on network file systems, where runs often lie.
 *
 * @module
 */

import { open, type FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileFailure, isFileError } from "./failures.js";
import { parseLine, splitLines, type LogRecord } from "./jsonl.js";

export interface TailOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
  /** Milliseconds between looks. Default 250. */
  readonly interval?: number;
  /** Called when a resumed run has cut the file: the iteration begins again with the first line. */
  readonly onRestart?: () => void;
}

/** Yields every record of a JSON-lines file, then those that are added, until the signal. Waits for a missing file. */
export async function* tail(path: string, options: TailOptions = {}): AsyncGenerator<LogRecord, void, void> {
  const { signal, interval = 250, onRestart } = options;
  let end = 0;
  let lines = 0;
  let last: Buffer = Buffer.alloc(0);
  while (signal?.aborted !== true) {
    const content = await readFrom(path, end - last.length);
    if (!content.subarray(0, last.length).equals(last)) {
      [end, lines, last] = [0, 0, Buffer.alloc(0)];
      onRestart?.();
      continue;
    }
    for (const line of splitLines(content.subarray(last.length))) {
      [end, lines, last] = [end + line.length, lines + 1, line];
      yield parseLine(path, lines, line);
    }
    await pause(interval, signal);
  }
}

async function readFrom(path: string, start: number): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.max(0, size - start)), { position: start });
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return Buffer.alloc(0);
    throw fileFailure("RUN_READ_FAILED", "read", path, error);
  } finally {
    await file?.close();
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}
