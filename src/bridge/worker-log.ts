/**
 * The last lines a worker wrote: what an error message shows when it dies.
 *
 * @module
 */
import type { Readable } from "node:stream";

/** Lines kept, and characters kept of each. */
const LINES = 20;
const KEPT_LENGTH = 500;
/** Characters read of a line at most: a worker may write without end and without a newline. */
const LONGEST_LINE = 10_000;

export interface WorkerLog {
  /** Reads a stream to its end, so that a worker never blocks on what it writes. */
  follow(stream: Readable): void;
  /** The lines, indented; empty when there are none. */
  tail(): string;
}

/** @param onLine called with every line; of one longer than 10,000 characters with its beginning */
export function createWorkerLog(onLine: (line: string) => void = () => undefined): WorkerLog {
  const lines: string[] = [];
  function add(line: string): void {
    lines.push(line.slice(0, KEPT_LENGTH));
    if (lines.length > LINES) lines.shift();
    onLine(line);
  }
  return {
    follow(stream) {
      let rest = "";
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        const parts = text.split(/\r\n|\n|\r/);
        parts[0] = rest + parts[0]!;
        rest = parts.pop()!.slice(0, LONGEST_LINE);
        for (const line of parts) add(line.slice(0, LONGEST_LINE));
      });
      stream.on("end", () => {
        if (rest !== "") add(rest);
      });
    },
    tail: () => lines.map((line) => `\n  | ${line}`).join(""),
  };
}
