/**
 * What a process and those it started have cost, from /proc: Linux only, as the benchmarks that use it.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const TICKS_PER_SECOND = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** Processes that this one started and that still run. */
export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
}

/** Of the children of this process, the one whose command line holds this text. @throws Error unless there is exactly one */
export function childNamed(text: string): number {
  const found = childrenOf(process.pid).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text));
  if (found.length === 1) return found[0]!;
  throw new Error(`${found.length} processes of "${text}" were started; the benchmark expects one.`);
}

/** Processor seconds, user and system, in steps of the kernel's clock (10 ms). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may hold anything; what follows it is fields 3 and on, times of 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Bytes of memory that are resident. */
export interface ResidentBytes {
  /** The most that the process ever had. */
  readonly peak: number;
  readonly now: number;
  /** Of it what belongs to no file: other pages the system takes and brings back as it sees fit. */
  readonly own: number;
}

export function residentBytes(pid: number): ResidentBytes {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const read = (name: string): number => 1024 * Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)![1]);
  return { peak: read("VmHWM"), now: read("VmRSS"), own: read("RssAnon") };
}
