/**
 * Turns errors of the file system into RunErrors that say what to do.
 *
 * @module
 */

import { RunError } from "../errors.js";

/** Codes of the file system a user can act on. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: "The disk is full: free some space, then resume the run.",
  EDQUOT: "The disk quota is used up: free some space, then resume the run.",
  EACCES: "The folder is not writable for this user: choose another output_dir or change its permissions.",
  EPERM: "The folder is not writable for this user: choose another output_dir or change its permissions.",
  EFBIG: "The file grew past the limit of this process or file system: raise it (ulimit -f), then resume the run.",
  EROFS: "The file system is read-only: choose another output_dir.",
  ENOTDIR: "A part of the path is a file: choose another output_dir.",
  EMFILE: "Too many files are open: raise the limit (ulimit -n).",
  ENOENT: "It was deleted or moved while in use, or never existed.",
};

/** True for the errors Node's file functions throw. */
export function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}

/** @param what the attempt in words, for example "append to" */
export function fileFailure(
  code: "RUN_WRITE_FAILED" | "RUN_READ_FAILED",
  what: string,
  path: string,
  cause: unknown,
): RunError {
  if (cause instanceof RunError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const advice = isFileError(cause) ? ADVICE[cause.code ?? ""] : undefined;
  return new RunError(code, `cannot ${what} ${path}: ${reason}.${advice === undefined ? "" : ` ${advice}`}`, {
    cause,
    fields: { path },
  });
}

/** Runs `body`; what the file system throws leaves as RUN_WRITE_FAILED. */
export async function writing<T>(what: string, path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw fileFailure("RUN_WRITE_FAILED", what, path, error);
  }
}

/** The same for bodies that do not wait. */
export function writingSync<T>(what: string, path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw fileFailure("RUN_WRITE_FAILED", what, path, error);
  }
}
