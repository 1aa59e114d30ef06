/**
 * Processor time of this process and of the processes it has started and seen the end of: what two ways of training are
 * compared by, when one waits more than the other.
 *
 * @module
 */
import { readFile } from "node:fs/promises";

/** Ticks per second in /proc: 100 on every Linux that Node runs on, whatever the kernel's own clock is. */
const TICKS = 100;
/** Places of utime, stime, cutime and cstime behind the name of the program, which is in parentheses and may hold spaces. */
const FIRST = 11;
const LAST = 14;

/** @returns seconds; null on a system without /proc, which does not tell the time of ended children */
export async function cpuSeconds(): Promise<number | null> {
  const text = await readFile("/proc/self/stat", "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  return text === null ? null : cpuSecondsOf(text);
}

/** @param stat the text of /proc/PID/stat */
export function cpuSecondsOf(stat: string): number {
  const fields = stat
    .slice(stat.lastIndexOf(")") + 1)
    .trim()
    .split(/\s+/);
  const ticks = fields.slice(FIRST, LAST + 1).map(Number);
  return ticks.reduce((sum, value) => sum + value, 0) / TICKS;
}
