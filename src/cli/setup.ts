/**
 * `thurstone setup`: the Python environment for people who installed the package.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { PACKAGE_ROOT } from "../python/index.js";
import { EXIT, type CommandIo } from "./io.js";

/** Runs the package's setup script for the Python side only; returns its exit code. */
export async function setupPython(options: { readonly venv: string }, io: CommandIo): Promise<number> {
  const script = join(PACKAGE_ROOT, "run_scripts", "setup.mjs");
  const args = [script, "--python-only", "--venv", resolve(io.cwd, options.venv)];
  const child = spawn(process.execPath, args, { cwd: io.cwd, env: io.env, stdio: ["inherit", "pipe", "pipe"] });
  child.stdout.on("data", (chunk: Buffer) => io.stdout.write(chunk.toString("utf8")));
  child.stderr.on("data", (chunk: Buffer) => io.stderr.write(chunk.toString("utf8")));
  const [code] = (await once(child, "close")) as [number | null];
  return code ?? EXIT.failed;
}
