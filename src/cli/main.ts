#!/usr/bin/env node
/**
 * The `thurstone` command.
 *
 * @module
 */

import { EXIT } from "./io.js";
import { runCommandLine } from "./program.js";

const closed = new AbortController();

/** Whoever reads may stop reading, as `head` does: that is no error of this program. */
function onClosed(output: NodeJS.WriteStream, act: () => void): void {
  output.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    act();
  });
}
onClosed(process.stdout, () => {
  closed.abort();
  process.exitCode = EXIT.closed;
});
// A run is not ended because nobody reads its progress.
onClosed(process.stderr, () => undefined);

const exitCode = await runCommandLine(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  closed: closed.signal,
});
process.exitCode = closed.signal.aborted ? EXIT.closed : exitCode;
