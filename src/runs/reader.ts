/**
 * Reads a run folder: of a finished run, of one that is being written, or of one copied from another machine.
 *
 * @module
 */

import { statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { RunError } from "../errors.js";
import { listCheckpoints, type CheckpointPlace } from "./checkpoints.js";
import { fileFailure, isFileError } from "./failures.js";
import { isRun, refuseMissing } from "./folder.js";
import { readJsonl, type LogRecord } from "./jsonl.js";
import { RUN_FILES, stepFile, stepOf } from "./layout.js";
import { isAlive, readOwner } from "./owner.js";

/**
 * `running`: its writer is alive. `interrupted`: its writer was killed. `closed`: its writer ended in order; how the run
 * went is then in the last event. `unknown`: its writer was on another machine and never said that it ended.
 */
export type RunStatus = "running" | "interrupted" | "closed" | "unknown";

/** A line of `metrics.jsonl` or `timings.jsonl`. */
export interface MetricsRecord {
  readonly seq: number;
  readonly step: number;
  readonly values: Readonly<Record<string, number | null>>;
}

/** A run folder, opened for reading. Each method reads the files as they are at that moment. */
export interface Run {
  readonly folder: string;
  /** When the run was opened. */
  readonly status: RunStatus;
  /** The resolved configuration. Throws RUN_READ_FAILED, and RUN_FILE_DAMAGED for what is no YAML. */
  config(): Promise<Readonly<Record<string, unknown>>>;
  /** What the run began on. Throws RUN_READ_FAILED, and RUN_FILE_DAMAGED for what is no JSON. */
  environment(): Promise<Readonly<Record<string, unknown>>>;
  events(): Promise<LogRecord[]>;
  metrics(): Promise<MetricsRecord[]>;
  timings(): Promise<MetricsRecord[]>;
  /** The completions of a step; none when the step recorded none. */
  rollouts(step: number): Promise<LogRecord[]>;
  /** The records of the evaluation after `step`. */
  evaluation(step: number): Promise<LogRecord[]>;
  /** Steps that have rollouts, ascending. */
  rolloutSteps(): Promise<number[]>;
  /** Steps that have evaluation records, ascending. */
  evaluationSteps(): Promise<number[]>;
  /** Ascending. Nothing of them is read. */
  checkpoints(): Promise<CheckpointPlace[]>;
}

/** Opens a run folder for reading. Throws RUN_NOT_FOUND when there is none. */
export async function openRun(folder: string): Promise<Run> {
  refuseMissing(folder);
  const inFolder = (name: string): string => join(folder, name);
  return {
    folder,
    status: statusOf(folder),
    config: () => readFields(inFolder(RUN_FILES.config), (text) => parse(text) as unknown),
    environment: () => readFields(inFolder(RUN_FILES.environment), (text) => JSON.parse(text) as unknown),
    events: async () => readJsonl(inFolder(RUN_FILES.events)),
    metrics: async () => readJsonl(inFolder(RUN_FILES.metrics)).map(toMetrics),
    timings: async () => readJsonl(inFolder(RUN_FILES.timings)).map(toMetrics),
    rollouts: async (step) => readJsonl(stepFile(folder, "rollouts", step)),
    evaluation: async (step) => readJsonl(stepFile(folder, "evaluations", step)),
    rolloutSteps: () => stepsIn(inFolder(RUN_FILES.rollouts)),
    evaluationSteps: () => stepsIn(inFolder(RUN_FILES.evaluations)),
    checkpoints: () => listCheckpoints(folder),
  };
}

/** Folders under `parent` (and `parent` itself) that hold a run, sorted by name. Throws RUN_NOT_FOUND for what is no folder. */
export async function findRuns(parent: string): Promise<string[]> {
  if (isRun(parent)) return [parent];
  if (statSync(parent, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new RunError(
      "RUN_NOT_FOUND",
      `${parent} is no folder. Name the folder in which the output_dir of your runs lies, or a run's own output_dir.`,
      { fields: { folder: parent } },
    );
  }
  try {
    const entries = await readdir(parent, { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => join(parent, entry.name));
    return folders.filter(isRun).sort();
  } catch (error) {
    throw fileFailure("RUN_READ_FAILED", "list", parent, error);
  }
}

function statusOf(folder: string): RunStatus {
  const owner = readOwner(folder);
  if (owner === undefined) return "closed";
  const alive = isAlive(owner);
  if (alive === undefined) return "unknown";
  return alive ? "running" : "interrupted";
}

function toMetrics({ seq, step, type: _type, time: _time, ...values }: LogRecord): MetricsRecord {
  return { seq: seq as number, step: step as number, values: values as Record<string, number | null> };
}

async function stepsIn(folder: string): Promise<number[]> {
  try {
    const steps = (await readdir(folder)).map(stepOf).filter((step) => step !== undefined);
    return steps.sort((a, b) => a - b);
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return [];
    throw fileFailure("RUN_READ_FAILED", "list", folder, error);
  }
}

/** The fields that a file holds. @param parseText throws for what it cannot read */
async function readFields(path: string, parseText: (text: string) => unknown): Promise<Record<string, unknown>> {
  const text = await readText(path);
  let cause: unknown;
  try {
    const value = parseText(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    cause = error;
  }
  const reason = cause instanceof Error ? cause.message.split("\n")[0]!.replace(/:$/, "") : "it holds no fields";
  throw new RunError(
    "RUN_FILE_DAMAGED",
    `${path} is not what a run writes: ${reason}. It was cut off, or changed by hand: bring it back from a copy of the run; to begin anew in its folder, set overwrite_output_dir.`,
    { cause, fields: { path } },
  );
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw fileFailure("RUN_READ_FAILED", "read", path, error);
  }
}
