/**
 * An environment of its own for TRL, below the folder that git ignores: it must not change what thurstone runs on.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EnvironmentError } from "../../src/errors.js";
import { findPython, PACKAGE_ROOT } from "../../src/python/index.js";

const FOLDER = join(PACKAGE_ROOT, "output", "trl-environment");
const PYTHON = join(FOLDER, "bin", "python");
/** Written last: an environment without it, or with another content, is not complete. */
const STAMP = join(FOLDER, ".complete.json");

/** The torch and transformers of requirements.txt, so that both programs call the same kernels. */
const INSTALLS: readonly (readonly string[])[] = [
  ["torch==2.13.0"],
  ["trl==1.16.0", "transformers==5.23.0", "peft", "accelerate", "datasets", "pillow"],
  // Its own requirement of torch could bring in a build for accelerators, gigabytes of it.
  ["--no-deps", "torchvision==0.28.0"],
];

function isComplete(): boolean {
  return existsSync(PYTHON) && existsSync(STAMP) && readFileSync(STAMP, "utf8") === JSON.stringify(INSTALLS);
}

/** Makes the environment where it is missing or made for other versions. @param say told what is done */
export function setUpTrl(say: (line: string) => void): void {
  if (isComplete()) return say(`${FOLDER} is complete; nothing to do`);
  rmSync(STAMP, { force: true });
  const run = (command: string, args: readonly string[]): void => {
    say(`${command} ${args.join(" ")}`);
    execFileSync(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  };
  if (!existsSync(PYTHON)) run(findPython().python, ["-m", "venv", FOLDER]);
  for (const packages of INSTALLS) {
    run(PYTHON, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", ...packages]);
  }
  writeFileSync(STAMP, JSON.stringify(INSTALLS));
  say(`${FOLDER} is complete`);
}

/** @returns the environment's interpreter. @throws EnvironmentError ENVIRONMENT_TRL_MISSING */
export function findTrl(): string {
  if (isComplete()) return PYTHON;
  throw new EnvironmentError(
    "ENVIRONMENT_TRL_MISSING",
    `the step is compared with TRL, whose environment is not in ${FOLDER}, or not complete. Run "npm run bench -- step --setup" first.`,
  );
}
