/**
 * Which Python runs the worker, and where the worker's package is.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EnvironmentError } from "../errors.js";

export interface FindPythonOptions {
  /** Default: this process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where to look for .venv. Default: the current folder. */
  readonly cwd?: string;
}

export interface PythonLocation {
  /** Path or command of the interpreter. */
  readonly python: string;
  /** What PYTHONPATH must hold for `thurstone_runtime` to be found. */
  readonly pythonPath: string;
  /** Where the interpreter was found: the variable, ./.venv, or the .venv beside this package. */
  readonly source: "PYTHON_BIN" | "cwd" | "package";
}

/** The folder of this package's package.json. */
export const PACKAGE_ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** The version of this package, which is that of its Python side. */
export const PACKAGE_VERSION: string = (
  JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")) as { version: string }
).version;

/**
 * PYTHON_BIN, else ./.venv, else the .venv of this package. An environment that `setup` made from PYTHON_BIN stands for
 * it: it is that interpreter, with the packages.
 *
 * @throws EnvironmentError ENVIRONMENT_PYTHON_MISSING with the command that helps
 */
export function findPython(options: FindPythonOptions = {}): PythonLocation {
  const { env = process.env, cwd = process.cwd() } = options;
  const pythonPath = join(PACKAGE_ROOT, "python_runtime");
  const environments = [
    { folder: join(cwd, ".venv"), source: "cwd" },
    { folder: join(PACKAGE_ROOT, ".venv"), source: "package" },
  ] as const;
  const made = environments.filter(({ folder }) => existsSync(interpreterOf(folder)));

  const requested = env["PYTHON_BIN"];
  if (requested !== undefined && requested !== "") {
    const madeFromIt = made.find(({ folder }) => baseOf(folder) === requested);
    if (madeFromIt !== undefined) return { python: interpreterOf(madeFromIt.folder), pythonPath, source: "PYTHON_BIN" };
    if (requested.includes("/") && !existsSync(requested)) {
      throw missing(`PYTHON_BIN is "${requested}", and there is no such file. Correct or unset it.`);
    }
    return { python: requested, pythonPath, source: "PYTHON_BIN" };
  }

  const [first] = made;
  if (first !== undefined) return { python: interpreterOf(first.folder), pythonPath, source: first.source };
  throw missing(
    `no Python environment was found: neither ${environments[0].folder} nor ${environments[1].folder} exists. ` +
      'Run "npx thurstone setup" to make one, or set PYTHON_BIN to a Python that has the packages of requirements.txt.',
  );
}

function interpreterOf(environment: string): string {
  return join(environment, "bin", "python");
}

/** The PYTHON_BIN the setup script made the environment from; it notes it there. */
function baseOf(environment: string): string | undefined {
  const stamp = join(environment, ".thurstone-setup.json");
  if (!existsSync(stamp)) return undefined;
  return (JSON.parse(readFileSync(stamp, "utf8")) as { pythonBin?: string }).pythonBin;
}

function missing(message: string): EnvironmentError {
  return new EnvironmentError("ENVIRONMENT_PYTHON_MISSING", message);
}
