/**
 * Where things lie in a run folder, and how a step's files are named.
 *
 * @module
 */

import { join } from "node:path";

/** Names inside a run folder. Everything a run writes is one of these. */
export const RUN_FILES = {
  config: "config.resolved.yaml",
  environment: "environment.json",
  events: "events.jsonl",
  metrics: "metrics.jsonl",
  timings: "timings.jsonl",
  rollouts: "rollouts",
  evaluations: "evals",
  images: "images",
  checkpoints: "checkpoints",
  tensorboard: "tensorboard",
  /** The trained model, once the run has ended. */
  model: "model",
  owner: "writer.json",
} as const;

/** "step_000050" for step 50. */
export function stepName(step: number): string {
  return `step_${String(step).padStart(6, "0")}`;
}

/** The step of "step_000050" or "step_000050.jsonl"; undefined for any other name, leftovers with a suffix included. */
export function stepOf(name: string): number | undefined {
  const digits = /^step_(\d{6,})(?:\.jsonl)?$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Path of the rollouts (or evaluation records) of one step. */
export function stepFile(runFolder: string, kind: "rollouts" | "evaluations", step: number): string {
  return join(runFolder, RUN_FILES[kind], `${stepName(step)}.jsonl`);
}
