/**
 * The one folder whose files a request may name.
 *
 * @module
 */
import { constants } from "node:fs";
import { open, realpath, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { isAbsolute, relative, resolve, sep } from "node:path";
import { ConfigError } from "../errors.js";
import { Refusal } from "./refusal.js";

export interface RootFolder {
  /**
   * Bytes of a file in the folder.
   *
   * @param size called with the file's size before it is read; may throw
   * @returns null for what is no readable file in the folder: a link that leads out of it counts as none, so that no answer
   * tells what is outside
   * @throws Refusal SERVE_OUTSIDE for a path that leaves the folder as it is written
   */
  read(path: string, size: (bytes: number) => void): Promise<Uint8Array | null>;
}

/** @throws ConfigError SERVE_ROOT for what is no folder */
export async function openRoot(folder: string): Promise<RootFolder> {
  const root = await realpath(folder).catch((cause: unknown) => Promise.reject(noFolder(folder, cause)));
  if (!(await stat(root)).isDirectory()) throw noFolder(folder);
  return {
    async read(path, size) {
      const place = resolve(root, path);
      if (!isInside(root, place) && !isInside(folder, place)) {
        throw new Refusal("SERVE_OUTSIDE", "the path leaves the folder whose pictures this service reads.");
      }
      // A pipe would otherwise be waited for.
      const file = await open(place, constants.O_RDONLY | constants.O_NONBLOCK).catch(absent);
      if (file === null) return null;
      try {
        return (await stands(file, place, root)) ? await readWhole(file, size) : null;
      } finally {
        await file.close();
      }
    },
  };
}

/**
 * Whether what was opened is a file that stands in the root. Asked of the opened file, and not of the path before: between
 * the two a link could be put in its place.
 */
async function stands(file: FileHandle, place: string, root: string): Promise<boolean> {
  const opened = await file.stat({ bigint: true });
  if (!opened.isFile()) return false;
  const real = await realpath(place).catch(absent);
  if (real === null || !isInside(root, real)) return false;
  const there = await stat(real, { bigint: true }).catch(absent);
  return there !== null && there.dev === opened.dev && there.ino === opened.ino;
}

/** No further than its size was: a file that grows must not fill the memory. */
async function readWhole(file: FileHandle, size: (bytes: number) => void): Promise<Uint8Array> {
  const bytes = (await file.stat()).size;
  size(bytes);
  const content = Buffer.alloc(bytes);
  let filled = 0;
  while (filled < bytes) {
    const { bytesRead } = await file.read(content, filled, bytes - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return content.subarray(0, filled);
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** Not there, not to be read, or no path at all. */
function absent(error: NodeJS.ErrnoException): null {
  if (typeof error.code !== "string") throw error;
  return null;
}

function noFolder(folder: string, cause?: unknown): ConfigError {
  return new ConfigError("SERVE_ROOT", `${folder} is no folder. Give one whose pictures may be read.`, { cause });
}
