/**
 * What the trainer itself must remember in a checkpoint, beside the worker's weights and optimizer.
 *
 * The sampler needs no state: it is a function of the seed and the number of the rollout batch.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Row } from "../data/index.js";
import { RunError, WorkerError } from "../errors.js";
import type { Policy } from "../policy/index.js";
import type { FidelityWarmup } from "../rewards/index.js";
import { beginCheckpoint, writing } from "../runs/index.js";
import type { Checkpoint, CheckpointDraft, CheckpointFile } from "../runs/index.js";
import type { AlarmState } from "./alarms.js";
import type { DatasetResult } from "./evaluation/index.js";
import type { HeldOutEvaluation } from "./events.js";

/** The trainer's own file of a checkpoint; one with the model only has none. */
export const TRAINER_FILE = "trainer.json";

const count = z.number().int().nonnegative();
const name = z.enum(["parse-failures", "truncation", "zero-variance", "entropy", "collapse", "update-skipped"]);

const reliedOn = z.looseObject({
  dataset: z.string(),
  n: count,
  estimators: z.record(z.string(), z.looseObject({ scored: count, srcc: z.number().nullable() })),
});

/** Written for the run's result alone; only what is relied on is looked at, and it is kept as it is, order of keys included. */
const evaluated = z.custom<DatasetResult>((value) => reliedOn.safeParse(value).success);

const schema = z.object({
  /** Last optimizer step applied. */
  step: count,
  /** Last rollout batch used up. */
  rollout: count,
  /** What the run must have in common with the run that goes on; see fingerprint.ts. */
  fingerprint: z.record(z.string(), z.string()),
  alarms: z.object({
    spreadSum: z.number(),
    spreadCount: count,
    lastSeen: z.partialRecord(name, count),
  }),
  evaluations: z.array(z.object({ step: count, results: z.array(evaluated), loss: z.number().optional() })),
  /** Null without `fidelity_warmup`. */
  fidelityWarmup: z
    .object({
      batches: count,
      surplus: z.number().nullable(),
      srcc: z.number().nullable(),
      endedAfter: count.nullable(),
    })
    .nullable(),
  /** Most tokens in one part, once memory ran out. */
  tokensPerPart: count.optional(),
});

/** What a run remembers from step to step; the fields are explained at the schema. */
export interface TrainerState {
  step: number;
  rollout: number;
  fingerprint: Readonly<Record<string, string>>;
  alarms: AlarmState;
  evaluations: HeldOutEvaluation[];
  fidelityWarmup: FidelityWarmup | null;
  tokensPerPart?: number;
}

/**
 * Saves weights, optimizer and trainer state as one checkpoint that is either complete or not there.
 *
 * @param modelOnly save the exported model instead: smaller, and nothing can resume from it
 */
export async function saveCheckpoint(
  policy: Policy<Row>,
  runFolder: string,
  state: TrainerState,
  modelOnly: boolean,
): Promise<Checkpoint> {
  const draft = await beginCheckpoint({ runFolder, step: state.step });
  return orDiscarded(draft, async () => {
    if (!modelOnly) return commitState(draft, policy.save(draft.folder), textOf(state));
    await policy.export(join(draft.folder, "model"));
    return draft.commit();
  });
}

/** A checkpoint of which everything is copied. */
export interface CheckpointUnderWay {
  /** Resolves when it is complete; where that fails, nothing of it is left. */
  readonly complete: Promise<Checkpoint>;
}

/** Like `saveCheckpoint`, but only until weights, optimizer and trainer state are copied: then training may go on. */
export async function beginCheckpointSave(
  policy: Policy<Row>,
  runFolder: string,
  state: TrainerState,
): Promise<CheckpointUnderWay> {
  const draft = await beginCheckpoint({ runFolder, step: state.step });
  const { files } = await orDiscarded(draft, () => policy.beginSave(draft.folder));
  const text = textOf(state);
  return { complete: orDiscarded(draft, () => commitState(draft, files, text)) };
}

async function orDiscarded<T>(draft: CheckpointDraft, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await draft.discard();
    throw asRunError(error, draft.folder);
  }
}

async function commitState(
  draft: CheckpointDraft,
  files: Promise<readonly CheckpointFile[]>,
  trainerState: string,
): Promise<Checkpoint> {
  const known = await files;
  const path = join(draft.folder, TRAINER_FILE);
  await writing("write", path, () => writeFile(path, trainerState));
  return draft.commit(known);
}

function textOf(state: TrainerState): string {
  return `${JSON.stringify(state, null, 2)}\n`;
}

/** The worker writes for the run: what the disk refuses it is an error of the run, like what it refuses here. */
export function asRunError(error: unknown, path: string): unknown {
  if (!(error instanceof WorkerError) || error.code !== "WRITE_FAILED") return error;
  return new RunError("RUN_WRITE_FAILED", `${error.message} Then resume the run.`, { cause: error, fields: { path } });
}

/** @throws RunError CHECKPOINT_INVALID when the file is missing or not what it should be */
export async function readTrainerState(folder: string): Promise<TrainerState> {
  const path = join(folder, TRAINER_FILE);
  try {
    const state = JSON.parse(await readFile(path, "utf8")) as TrainerState;
    // Only looked at: what parsing returns has its keys in another order, and the next checkpoint would differ in its bytes.
    schema.parse(state);
    return state;
  } catch (cause) {
    throw new RunError(
      "CHECKPOINT_INVALID",
      `${path} is missing or damaged, so the run cannot go on from this checkpoint (save_only_model writes none). Choose another one with resume_from_checkpoint.`,
      { cause, fields: { path } },
    );
  }
}
