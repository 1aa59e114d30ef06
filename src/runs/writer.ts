/**
 * Writes a run folder: configuration, environment, logs, rollouts, pictures. One writer per folder.
 *
 * `metrics.jsonl`, `rollouts/` and `evals/` hold nothing that depends on the clock, so that a resumed run can be compared
 * with an uninterrupted one byte for byte; durations go to `timings.jsonl`, times of day to it and `events.jsonl`.
 *
 * @module
 */

import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { stringify } from "yaml";
import { RunError } from "../errors.js";
import { removeLeftovers } from "./checkpoints.js";
import { sync } from "./durable.js";
import { writing, writingSync } from "./failures.js";
import { refuseMissing, refuseTaken } from "./folder.js";
import { linesOfStep, openJsonl, type JsonlWriter, type LogRecord } from "./jsonl.js";
import { RUN_FILES, stepFile } from "./layout.js";
import { releaseFolder, takeFolder } from "./owner.js";
import { openPictures, type Pixels } from "./pictures.js";
import { openEventFile } from "./tensorboard.js";
import { truncateRun } from "./truncate.js";

/** Numbers by name; null stands for "not known at this step". */
export type Metrics = Readonly<Record<string, number | null>>;

/** Something that happened, for `events.jsonl`. Lines with a `step` are removed when an earlier step is resumed. */
export type RunEventRecord = LogRecord & { readonly type: string; readonly step?: number };

export interface RunWriter extends AsyncDisposable {
  readonly folder: string;
  /** Checkpoints that a resume from an earlier step set aside, as names under `checkpoints/`. */
  readonly superseded: readonly string[];
  event(event: RunEventRecord): void;
  /** One line of `metrics.jsonl` and a point on each TensorBoard curve. Values must be finite or null (RUN_METRIC_INVALID). */
  metrics(step: number, values: Metrics): void;
  /** Seconds and other measurements of the machine: one line of `timings.jsonl`. */
  timings(step: number, values: Metrics): void;
  /** All completions of a step, one record each; writes the step's file anew. */
  rollouts(step: number, records: readonly LogRecord[]): void;
  /** All records of an evaluation after `step`; writes the step's file anew. */
  evaluation(step: number, records: readonly LogRecord[]): void;
  /** Stores a small copy of a picture under its content hash, once. Waiting for it is optional: `close` does. */
  image(key: string, pixels: Pixels): Promise<void>;
  /**
   * Returns when the disk has all that was written so far, small copies of pictures aside: what a checkpoint is taken after
   * must outlive a power cut as the checkpoint does. Throws RUN_WRITE_FAILED.
   */
  sync(): Promise<void>;
  /** Finishes pending pictures, closes the files, gives the folder back. */
  close(): Promise<void>;
}

interface WriterOptions {
  /** The run folder. */
  readonly folder: string;
  /** Also write TensorBoard event files. Default true. */
  readonly tensorboard?: boolean;
  /** Clock for the `time` of events and timings. Default: the system's. */
  readonly now?: () => Date;
}

export interface CreateRunOptions extends WriterOptions {
  /** The resolved configuration, every default filled in. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Versions, devices, digests: what is needed to tell whether another machine can repeat the run. */
  readonly environment: Readonly<Record<string, unknown>>;
  /** Delete the run that is in the folder. Files that belong to no run are never touched. Default false. */
  readonly overwrite?: boolean;
}

export interface ResumeRunOptions extends WriterOptions {
  /** The checkpoint's step: whatever the logs say of later steps is removed. */
  readonly step: number;
}

/** Starts a run in a new or empty folder. Throws RUN_EXISTS when a run is there, RUN_WRITE_FAILED, RUN_IN_USE. */
export async function createRun(options: CreateRunOptions): Promise<RunWriter> {
  const folder = resolve(options.folder);
  const present = refuseTaken(folder, options.overwrite === true);
  await writing("prepare", folder, async () => mkdirSync(folder, { recursive: true }));
  takeFolder(folder);
  writingSync("clear", folder, () => {
    for (const name of present) if (name !== RUN_FILES.owner) rmSync(join(folder, name), { recursive: true });
  });
  const config = join(folder, RUN_FILES.config);
  const environment = join(folder, RUN_FILES.environment);
  writeWhole(config, stringify(options.config));
  writeWhole(environment, `${JSON.stringify(options.environment, null, 2)}\n`);
  return openWriter({ ...options, folder }, { superseded: [], written: [config, environment, dirname(folder)] });
}

/** Opens an existing run to go on after `step`. Throws RUN_NOT_FOUND, RUN_WRITE_FAILED, RUN_IN_USE, RUN_LOG_DAMAGED. */
export async function resumeRun(options: ResumeRunOptions): Promise<RunWriter> {
  const folder = resolve(options.folder);
  refuseMissing(folder);
  takeFolder(folder);
  const superseded = writingSync("take back", folder, () => truncateRun(folder, options.step));
  await removeLeftovers(folder);
  // It is that of another step; who waits for the end of the run looks for it.
  const model = join(folder, RUN_FILES.model);
  writingSync("delete", model, () => rmSync(model, { recursive: true, force: true }));
  return openWriter({ ...options, folder }, { superseded, written: [] });
}

/** @param from what was done before: paths written, and checkpoints set aside */
function openWriter(
  options: WriterOptions,
  from: { readonly superseded: readonly string[]; readonly written: readonly string[] },
): RunWriter {
  const { folder, tensorboard = true, now = () => new Date() } = options;
  const events = openJsonl(join(folder, RUN_FILES.events));
  const metrics = openJsonl(join(folder, RUN_FILES.metrics));
  const timings = openJsonl(join(folder, RUN_FILES.timings));
  const curves = tensorboard ? openEventFile(join(folder, RUN_FILES.tensorboard), unixSeconds(now())) : undefined;
  const pictures = openPictures(join(folder, RUN_FILES.images));
  const logs: readonly JsonlWriter[] = [events, metrics, timings];
  /** Files and folders that the disk was not told of yet. */
  const fresh = new Set([...from.written, folder]);
  let closed = false;

  const open = (): void => {
    if (closed) throw new RunError("RUN_CLOSED", `the run in ${folder} was closed; nothing can be written any more.`);
  };
  const stepLines = (kind: "rollouts" | "evaluations", step: number, lines: readonly LogRecord[]): void => {
    open();
    const path = stepFile(folder, kind, step);
    writeWhole(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    fresh.add(path).add(dirname(path));
  };
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await pictures.settle();
    for (const log of logs) log.close();
    releaseFolder(folder);
  };

  return {
    folder,
    superseded: from.superseded,
    event({ type, ...fields }) {
      open();
      events.append({ time: now().toISOString(), type, ...fields });
    },
    metrics(step, values) {
      open();
      checkMetrics(step, values);
      metrics.append({ type: "metrics", step, ...values });
      curves?.scalars(step, values, unixSeconds(now()));
    },
    timings(step, values) {
      open();
      checkMetrics(step, values);
      timings.append({ time: now().toISOString(), type: "timings", step, ...values });
    },
    rollouts: (step, records) => stepLines("rollouts", step, linesOfStep("rollout", step, records)),
    evaluation: (step, records) => stepLines("evaluations", step, linesOfStep("evaluation", step, records)),
    async image(key, pixels) {
      open();
      await pictures.add(key, pixels);
    },
    async sync() {
      open();
      const paths = [...fresh, ...logs.map(({ path }) => path), ...(curves === undefined ? [] : [curves.path])];
      fresh.clear();
      // One after the other: after many steps there are more of them than files that may be open at once.
      await writing("sync", folder, async () => {
        for (const path of paths) await sync(path);
      });
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function checkMetrics(step: number, values: Metrics): void {
  for (const [name, value] of Object.entries(values)) {
    if (["seq", "time", "type", "step"].includes(name)) {
      throw new RunError("RUN_METRIC_INVALID", `"${name}" cannot name a metric: every line has a field of that name.`);
    }
    if (value !== null && !Number.isFinite(value)) {
      throw new RunError(
        "RUN_METRIC_INVALID",
        `metric "${name}" of step ${step} is ${value}; it must be finite, or null when unknown.`,
        {
          fields: { name, step },
        },
      );
    }
  }
}

/** Readers see the old file or the whole new one. */
function writeWhole(path: string, content: string): void {
  writingSync("write", path, () => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.partial`, content);
    renameSync(`${path}.partial`, path);
  });
}

function unixSeconds(date: Date): number {
  return date.getTime() / 1000;
}
