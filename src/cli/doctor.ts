/**
 * `thurstone doctor`: is everything here that a training needs, and if not, what to do.
 *
 * @module
 */

import { resolve } from "node:path";
import type { PythonLocation } from "../python/index.js";
import {
  checkDiskSpace,
  checkNativePackage,
  checkNode,
  checkPlatform,
  checkPython,
  checkPythonFound,
  checkWorker,
  checkWritable,
  SUPPORT,
  type Check,
} from "./checks.js";
import { EXIT, type CommandIo } from "./io.js";

export interface DoctorOptions {
  /** Where runs will be written; need not exist. */
  readonly outputFolder: string;
  readonly json: boolean;
}

/** Prints every check; the exit code is 1 when one of them fails. */
export async function doctor(options: DoctorOptions, io: CommandIo): Promise<number> {
  const checks = await runChecks(resolve(io.cwd, options.outputFolder), io);
  const ok = checks.every((check) => check.ok);
  if (options.json) io.stdout.write(`${JSON.stringify({ ok, checks, support: SUPPORT }, null, 2)}\n`);
  else io.stdout.write([...checks.map(line), "", ...SUPPORT, ""].join("\n"));
  return ok ? EXIT.done : EXIT.failed;
}

async function runChecks(outputFolder: string, io: CommandIo): Promise<Check[]> {
  const { check: found, location } = checkPythonFound(io);
  return [
    checkNode(process.version),
    checkPlatform(process.platform),
    await checkNativePackage("zeromq"),
    await checkNativePackage("sharp"),
    found,
    ...(location === undefined ? [] : await checkPythonSide(location)),
    await checkWritable(outputFolder),
    await checkDiskSpace(outputFolder),
  ];
}

/** A worker is only asked of a Python that runs. */
async function checkPythonSide(location: PythonLocation): Promise<Check[]> {
  const checks = await checkPython(location);
  return checks.length === 1 && !checks[0]!.ok ? checks : [...checks, await checkWorker(location)];
}

function line({ name, ok, detail, fix }: Check): string {
  const result = `${ok ? "pass" : "FAIL"}  ${name.padEnd(24)}${detail}`;
  return fix === undefined ? result : `${result}\n      ${"".padEnd(24)}-> ${fix}`;
}
