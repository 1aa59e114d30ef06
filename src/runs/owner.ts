/**
 * Who writes a run folder: `writer.json` names the process while it is open, so that two trainings never share one
 * folder and a reader can tell a running run from one that was killed.
 *
 * @module
 */

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { RunError } from "../errors.js";
import { fileFailure, isFileError, writingSync } from "./failures.js";
import { RUN_FILES } from "./layout.js";

/** A process, recognisable even when its id is used again. */
export interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Start of the process in clock ticks since boot (Linux), else null. */
  readonly started: string | null;
}

/** Throws RUN_IN_USE while another live process of this host has the folder. */
export function refuseInUse(folder: string): void {
  const owner = readOwner(folder);
  if (owner !== undefined && isAlive(owner) === true) {
    throw new RunError(
      "RUN_IN_USE",
      `${folder} is being written by process ${owner.pid}. Stop that process, or choose another output_dir.`,
      { fields: { folder, pid: owner.pid } },
    );
  }
}

/** Takes the folder for this process. Throws RUN_IN_USE, RUN_WRITE_FAILED. */
export function takeFolder(folder: string): void {
  refuseInUse(folder);
  const path = join(folder, RUN_FILES.owner);
  const self: Owner = { pid: process.pid, host: hostname(), started: startOf(process.pid) };
  writingSync("write", path, () => writeFileSync(path, `${JSON.stringify(self)}\n`));
}

/** Gives the folder back. */
export function releaseFolder(folder: string): void {
  rmSync(join(folder, RUN_FILES.owner), { force: true });
}

/** The process that has the folder open, or had it when it was killed. */
export function readOwner(folder: string): Owner | undefined {
  const path = join(folder, RUN_FILES.owner);
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Owner;
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return undefined;
    if (error instanceof SyntaxError) return undefined; // killed while writing it: no live process can be behind it
    throw fileFailure("RUN_READ_FAILED", "read", path, error);
  }
}

/** Undefined when the process belongs to another machine and cannot be asked. */
export function isAlive(owner: Owner): boolean | undefined {
  if (owner.host !== hostname()) return undefined;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if (isFileError(error) && error.code === "ESRCH") return false;
    if (!isFileError(error) || error.code !== "EPERM") throw error;
  }
  return owner.started === startOf(owner.pid);
}

/** Field 22 of /proc/PID/stat; the name in field 2 may hold spaces, so counting starts behind it. */
function startOf(pid: number): string | null {
  if (process.platform !== "linux") return null;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch (error) {
    if (isFileError(error)) return null;
    throw error;
  }
}
