/**
 * Errors as people see them: class, code, message; the rest on request.
 *
 * @module
 */

import { inspect } from "node:util";
import { ThurstoneError } from "../errors.js";
import type { CommandIo } from "./io.js";

/** Writes `ConfigError CONFIG_UNKNOWN_KEY  message` to stderr; with `verbose` also stack, causes and fields. */
export function printError(error: unknown, io: Pick<CommandIo, "stderr" | "verbose">): void {
  io.stderr.write(`${headline(error)}\n`);
  if (io.verbose) io.stderr.write(`${inspect(error, { depth: 6 })}\n`);
  else if (!ThurstoneError.isInstance(error))
    io.stderr.write("This should not happen. Run again with --verbose for the details.\n");
}

function headline(error: unknown): string {
  if (ThurstoneError.isInstance(error)) return `${error.name} ${error.code}  ${error.message}`;
  return error instanceof Error ? `${error.name}  ${error.message}` : `Error  ${String(error)}`;
}
