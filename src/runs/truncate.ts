/**
 * Takes a run folder back to a step, so that a resumed run writes what the uninterrupted one would have written.
 *
 * @module
 */

import { readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isFileError, writingSync } from "./failures.js";
import { readIntactLines, type LogLine } from "./jsonl.js";
import { RUN_FILES, stepOf } from "./layout.js";
import { truncateEventFiles } from "./tensorboard.js";

/**
 * Removes from every log what was written for steps after `step`. A line without a step belongs to the step of the
 * line before it. Checkpoints after `step` are kept beside, as `step_000060.superseded`.
 *
 * @returns names of the checkpoints set aside
 */
export function truncateRun(runFolder: string, step: number): string[] {
  for (const name of [RUN_FILES.events, RUN_FILES.metrics, RUN_FILES.timings]) truncateLog(join(runFolder, name), step);
  for (const name of [RUN_FILES.rollouts, RUN_FILES.evaluations]) {
    for (const file of laterThan(join(runFolder, name), step)) rmSync(join(runFolder, name, file));
  }
  truncateEventFiles(join(runFolder, RUN_FILES.tensorboard), step);
  return setAside(join(runFolder, RUN_FILES.checkpoints), step);
}

function truncateLog(path: string, step: number): void {
  const { lines, damaged } = readIntactLines(path);
  const kept = linesUpTo(lines, step);
  if (kept.length === lines.length && !damaged) return;
  writingSync("shorten", path, () => {
    writeFileSync(`${path}.partial`, Buffer.concat(kept.map(({ bytes }) => bytes)));
    renameSync(`${path}.partial`, path);
  });
}

function linesUpTo(lines: readonly LogLine[], step: number): LogLine[] {
  let current = 0;
  return lines.filter(({ record }) => {
    if (typeof record["step"] === "number") current = record["step"];
    return current <= step;
  });
}

function laterThan(folder: string, step: number): string[] {
  try {
    return readdirSync(folder).filter((name) => (stepOf(name) ?? -1) > step);
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return [];
    throw error;
  }
}

function setAside(folder: string, step: number): string[] {
  return laterThan(folder, step).map((name) => {
    const aside = `${name}.superseded`;
    rmSync(join(folder, aside), { recursive: true, force: true });
    renameSync(join(folder, name), join(folder, aside));
    return aside;
  });
}
