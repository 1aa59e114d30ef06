/**
 * The last lines a worker wrote: what an error message shows when it dies.
 *
 * @module
 */
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";

/** Lines kept, and characters kept of each. */
const LINES = 20;
const LINE_LENGTH = 500;

export interface WorkerLog {
  follow(stream: Readable): void;
  /** The lines, indented; empty when there are none. */
  tail(): string;
}

export function createWorkerLog(onLine: (line: string) => void = () => undefined): WorkerLog {
  const lines: string[] = [];
  return {
    follow(stream) {
      createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => {
        lines.push(line.slice(0, LINE_LENGTH));
        if (lines.length > LINES) lines.shift();
        onLine(line);
      });
    },
    tail: () => lines.map((line) => `\n  | ${line}`).join(""),
  };
}
