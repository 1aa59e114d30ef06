/**
 * `thurstone runs`: run folders as text or JSON.
 *
 * @module
 */

import { basename, resolve } from "node:path";
import { nearestName } from "../config/index.js";
import { RunError } from "../errors.js";
import { findRuns, openRun, type LogRecord, type MetricsRecord, type Run } from "../runs/index.js";
import type { CommandIo } from "./io.js";
import { watchedMetrics } from "./progress.js";
import { formatNumber, printable, table } from "./table.js";

/** Lists the runs in a folder. */
export async function listRuns(
  options: { readonly folder: string; readonly json: boolean },
  io: CommandIo,
): Promise<void> {
  const summaries = await Promise.all((await findRuns(resolve(io.cwd, options.folder))).map(summarise));
  if (options.json) return writeJson(io, summaries);
  if (summaries.length === 0) return writeLines(io, [`no runs in ${options.folder}`]);
  const rows = summaries.map(({ name, status, step, reward, checkpoints }) => [
    name,
    status,
    formatNumber(step),
    formatNumber(reward),
    String(checkpoints.length),
  ]);
  writeLines(io, table(["run", "status", "step", "reward", "checkpoints"], rows));
}

interface RunSummary {
  readonly name: string;
  readonly folder: string;
  /** As the run says itself when its writer ended in order: finished, stopped, failed ... */
  readonly status: string;
  /** Last step with metrics, and its mean reward. */
  readonly step: number | null;
  readonly reward: number | null;
  /** Steps of complete checkpoints. */
  readonly checkpoints: readonly number[];
}

async function summarise(folder: string): Promise<RunSummary> {
  const run = await openRun(folder);
  const last = (await run.metrics()).at(-1);
  return {
    name: basename(folder),
    folder,
    status: run.status === "closed" ? await endOf(run) : run.status,
    step: last?.step ?? null,
    reward: last?.values["reward"] ?? null,
    checkpoints: (await run.checkpoints()).map(({ step }) => step),
  };
}

async function endOf(run: Run): Promise<string> {
  const end = (await run.events()).findLast(({ type }) => type === "run-end");
  return typeof end?.["reason"] === "string" ? end["reason"] : "closed";
}

export interface ShowMetricsOptions {
  readonly folder: string;
  /** None: those of the live view that the run has; with `json`, all. */
  readonly names: readonly string[];
  readonly last?: number;
  readonly json: boolean;
}

/** Prints metrics by step. Throws RunError RUN_UNKNOWN_METRIC for a name that no step of the run has. */
export async function showMetrics(options: ShowMetricsOptions, io: CommandIo): Promise<void> {
  const all = await (await openRun(resolve(io.cwd, options.folder))).metrics();
  refuseUnknown(options.names, all);
  const records = options.last === undefined ? all : all.slice(-options.last);
  if (options.json) {
    const pick = ({ step, values }: MetricsRecord): object => ({
      step,
      ...(options.names.length === 0 ? values : select(values, options.names)),
    });
    return writeJson(io, records.map(pick));
  }
  const present = watchedMetrics(Object.assign({}, ...records.map(({ values }) => values))).map(({ name }) => name);
  const names = options.names.length === 0 ? present : options.names;
  const rows = records.map(({ step, values }) => [String(step), ...names.map((name) => formatNumber(values[name]))]);
  writeLines(io, table(["step", ...names], rows));
}

function refuseUnknown(names: readonly string[], records: readonly MetricsRecord[]): void {
  const known = [...new Set(records.flatMap(({ values }) => Object.keys(values)))];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined || records.length === 0) return;
  const near = nearestName(unknown, known);
  const advice = near === null ? `It has ${known.join(", ")}.` : `Did you mean "${near}"?`;
  throw new RunError("RUN_UNKNOWN_METRIC", `the run has no metric "${unknown}". ${advice}`, {
    fields: { unknown, known },
  });
}

function select(values: MetricsRecord["values"], names: readonly string[]): Record<string, number | null> {
  return Object.fromEntries(names.map((name) => [name, values[name] ?? null]));
}

export interface ShowRolloutsOptions {
  readonly folder: string;
  readonly step?: number;
  readonly limit?: number;
  readonly json: boolean;
}

/** Prints a step's completions, best reward first; with `json` as they were recorded. */
export async function showRollouts(options: ShowRolloutsOptions, io: CommandIo): Promise<void> {
  const run = await openRun(resolve(io.cwd, options.folder));
  const steps = await run.rolloutSteps();
  const step = options.step ?? steps.at(-1);
  const records = step === undefined ? [] : await run.rollouts(step);
  if (options.json) return writeJson(io, records.slice(0, options.limit));
  if (records.length === 0) return writeLines(io, [noRollouts(step, steps)]);
  const best = [...records].sort((a, b) => rewardOf(b) - rewardOf(a)).slice(0, options.limit);
  for (const record of best) writeLines(io, describe(record));
}

function noRollouts(step: number | undefined, steps: readonly number[]): string {
  if (step === undefined || steps.length === 0) return "the run has recorded no rollouts";
  return `no rollouts were recorded for step ${step}; there are some from step ${steps[0]} to step ${steps.at(-1)}`;
}

function rewardOf({ reward }: LogRecord): number {
  return typeof reward === "number" ? reward : Number.NEGATIVE_INFINITY;
}

/** Fields that say nothing about a completion, or the same of all of a step. */
const NOT_SHOWN = "seq type step version rollout completions fidelity_warmup kl_penalty source".split(" ");

/** The completion below a line of everything else that is short and its rewards by name; then what rewards attached. */
function describe({ text, rewards, columns, pictures, ...fields }: LogRecord): string[] {
  const short = Object.entries({ ...fields, ...(rewards as object) }).filter(
    ([name, value]) => !NOT_SHOWN.includes(name) && !Array.isArray(value),
  );
  const heading = short.map(
    ([name, value]) => `${name} ${typeof value === "number" ? formatNumber(value) : String(value)}`,
  );
  return [
    heading.join("  "),
    ...String(text)
      .split("\n")
      .map((line) => `    ${printable(line)}`),
    ...attached(columns, (cell) => String(cell)),
    ...attached(pictures, (key) => `images/${String(key)}.webp`),
    "",
  ];
}

/** "  judge.reason: too dark", one line for each thing that a reward attached. */
function attached(byReward: unknown, show: (value: unknown) => string): string[] {
  return Object.entries((byReward ?? {}) as Record<string, object>).flatMap(([reward, things]) =>
    Object.entries(things).map(([name, value]) => `  ${reward}.${name}: ${printable(show(value))}`),
  );
}

function writeJson(io: CommandIo, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function writeLines(io: CommandIo, lines: readonly string[]): void {
  io.stdout.write(lines.map((line) => `${line}\n`).join(""));
}
