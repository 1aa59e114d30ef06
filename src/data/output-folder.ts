/**
 * A folder that appears when everything in it is written, or not at all.
 *
 * @module
 */
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { DataError } from "../errors.js";

export interface OutputFolderOptions {
  readonly folder: string;
  /** Whether a folder that holds nothing but such entries may be replaced. */
  readonly overwrite: boolean;
  /** Names of what is written into it. */
  readonly entries: readonly string[];
}

/**
 * Lets `write` fill a folder beside the final one, then gives it the final name. What a process that was killed left beside
 * it is removed.
 *
 * @throws DataError DATA_FOLDER_NOT_EMPTY before anything is written; whatever `write` throws, with nothing left behind
 */
export async function writeFolder<T>(options: OutputFolderOptions, write: (folder: string) => Promise<T>): Promise<T> {
  const folder = resolve(options.folder);
  await refuseForeign({ ...options, folder });
  await mkdir(dirname(folder), { recursive: true });
  await removeLeft(folder);
  const partial = await mkdtemp(join(dirname(folder), `${partialOf(folder)}${process.pid}-`));
  try {
    const result = await write(partial);
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
    return result;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

/** A shared disk has folders of other machines, whose processes nobody here knows. */
function partialOf(folder: string): string {
  return `.${basename(folder)}.partial-${hostname()}-`;
}

async function removeLeft(folder: string): Promise<void> {
  const start = partialOf(folder);
  const names = await readdir(dirname(folder));
  const left = names.filter(
    (name) => name.startsWith(start) && !isRunning(Number.parseInt(name.slice(start.length), 10)),
  );
  await Promise.all(left.map((name) => rm(join(dirname(folder), name), { recursive: true, force: true })));
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is another user's.
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

async function refuseForeign({ folder, overwrite, entries }: OutputFolderOptions): Promise<void> {
  const present = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new DataError("DATA_FOLDER_NOT_EMPTY", `${folder} is no folder to write into: ${error.message}.`, {
      cause: error,
      fields: { folder },
    });
  });
  if (present.length === 0) return;
  const foreign = present.filter((name) => !entries.includes(name));
  if (overwrite && foreign.length === 0) return;
  const advice =
    foreign.length === 0
      ? "Choose another one, or overwrite it (--overwrite)."
      : `It also holds what such a set does not (${foreign.slice(0, 3).join(", ")}), so it is never overwritten. Choose another one.`;
  throw new DataError("DATA_FOLDER_NOT_EMPTY", `The folder ${folder} is not empty. ${advice}`, {
    fields: { folder, foreign },
  });
}
