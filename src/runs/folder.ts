/**
 * Whether a folder can take a run, found out before anything is written that matters.
 *
 * @module
 */

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { RunError } from "../errors.js";
import { writing, writingSync } from "./failures.js";
import { RUN_FILES } from "./layout.js";
import { refuseInUse } from "./owner.js";

export interface CheckRunFolderOptions {
  /** The run folder. */
  readonly folder: string;
  /** The run that is in the folder may be deleted. Default false. */
  readonly overwrite?: boolean;
  /** The run that is in the folder shall go on. Default false. */
  readonly resume?: boolean;
}

/**
 * Refuses at once what `createRun` or `resumeRun` would refuse later. Makes the folder, and leaves what is in it alone.
 *
 * @throws RunError RUN_EXISTS, RUN_NOT_FOUND, RUN_IN_USE, RUN_WRITE_FAILED
 */
export async function checkRunFolder(options: CheckRunFolderOptions): Promise<void> {
  const folder = resolve(options.folder);
  if (options.resume === true) refuseMissing(folder);
  else refuseTaken(folder, options.overwrite === true);
  await writing("prepare", folder, async () => {
    mkdirSync(folder, { recursive: true });
    const trial = join(folder, ".trial");
    writeFileSync(trial, "");
    rmSync(trial);
  });
  refuseInUse(folder);
}

/** @returns names of the run that is in the folder and may be deleted. Throws RUN_EXISTS when it may not. */
export function refuseTaken(folder: string, overwrite: boolean): string[] {
  const known: readonly string[] = Object.values(RUN_FILES);
  const present = writingSync("look into", folder, () => namesIn(folder)).filter((name) => known.includes(name));
  if (present.length > 0 && !overwrite) {
    throw new RunError(
      "RUN_EXISTS",
      `${folder} already holds a run (${present.slice(0, 3).join(", ")}). Resume it (resume_from_checkpoint), choose another output_dir, or set overwrite_output_dir.`,
      { fields: { folder } },
    );
  }
  return present;
}

/** Throws RUN_NOT_FOUND when there is no run in the folder. */
export function refuseMissing(folder: string): void {
  if (isRun(folder)) return;
  throw new RunError(
    "RUN_NOT_FOUND",
    existsSync(folder)
      ? `there is no run in ${folder} (no ${RUN_FILES.config}). Name the output_dir of a run.`
      : `${folder} does not exist. Name the output_dir of a run.`,
    { fields: { folder } },
  );
}

/** True when the folder holds a run. */
export function isRun(folder: string): boolean {
  return existsSync(join(folder, RUN_FILES.config));
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
