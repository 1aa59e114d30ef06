#!/usr/bin/env node
/**
 * The `thurstone` command.
 *
 * @module
 */

import { runCommandLine } from "./program.js";

process.exitCode = await runCommandLine(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
});
