/**
 * The checkpoints of a run, as they lie there and as its log speaks of them.
 *
 * @module
 */
import { RunError } from "../../errors.js";
import { listCheckpoints, readCheckpoint, verifyCheckpoint } from "../../runs/index.js";
import type { CheckpointFile, LogRecord } from "../../runs/index.js";
import { TRAINER_FILE } from "../checkpoint.js";
import type { Comparisons } from "./comparisons.js";

/** A checkpoint that the run took. */
export interface RecordedCheckpoint {
  readonly step: number;
  /** Null when it was deleted since. */
  readonly folder: string | null;
  /** What its manifest says of its files; null without a manifest that can be read. */
  readonly files: readonly CheckpointFile[] | null;
  /** SHA-256 by file as the log has them; null where it has none. */
  readonly digests: Readonly<Record<string, string>> | null;
  /** The first of its files that is not what was written; null where none is known. */
  readonly damaged: string | null;
  /** Its files are what its manifest says. */
  readonly intact: boolean;
  /** It is intact, the log says the same, and a run can go on from it. */
  readonly usable: boolean;
}

/** Looks at checkpoints when they are asked for, and tells what is wrong with them, once each. */
export interface RecordedCheckpoints {
  /** Rising; those that were deleted are among them where the log has their digests. */
  readonly steps: readonly number[];
  /** @throws nothing for one that is damaged: that is a difference */
  at(step: number): Promise<RecordedCheckpoint | null>;
}

/** @param events of the run's log */
export async function recordedCheckpoints(
  runFolder: string,
  events: readonly LogRecord[],
  comparisons: Comparisons,
): Promise<RecordedCheckpoints> {
  const folders = new Map((await listCheckpoints(runFolder)).map(({ step, folder }) => [step, folder]));
  const logged = new Map(
    events.flatMap(({ type, step, digests }) =>
      type === "checkpoint-end" && typeof digests === "object"
        ? [[Number(step), digests as Record<string, string>]]
        : [],
    ),
  );
  const looked = new Map<number, Promise<RecordedCheckpoint>>();
  const steps = [...new Set([...folders.keys(), ...logged.keys()])].sort((a, b) => a - b);
  return {
    steps,
    at: async (step) => {
      if (!steps.includes(step)) return null;
      const found = looked.get(step) ?? look(step, folders.get(step) ?? null, logged.get(step) ?? null, comparisons);
      looked.set(step, found);
      return found;
    },
  };
}

async function look(
  step: number,
  folder: string | null,
  digests: RecordedCheckpoint["digests"],
  comparisons: Comparisons,
): Promise<RecordedCheckpoint> {
  if (folder === null) return { step, folder, files: null, digests, damaged: null, intact: false, usable: false };
  const files = await filesIn(folder);
  const damage = await damageOf(folder);
  const what = damage?.what ?? "files of the checkpoint";
  comparisons.compare({ about: "checkpoint", step, what, recorded: null, found: null }, damage === null);
  const told = Object.entries(files === null ? {} : (digests ?? {})).map(([name, recorded]) => {
    const found = files!.find((file) => file.name === name)?.sha256 ?? null;
    const said = `${name} of the checkpoint: digest in the log, and in its manifest`;
    comparisons.compare({ about: "checkpoint", step, what: said, recorded, found });
    return recorded === found;
  });
  const whole = files?.some(({ name }) => name === TRAINER_FILE) === true;
  const intact = damage === null;
  return {
    step,
    folder,
    files,
    digests,
    damaged: damage?.file ?? null,
    intact,
    usable: intact && whole && told.every(Boolean),
  };
}

async function filesIn(folder: string): Promise<readonly CheckpointFile[] | null> {
  try {
    return (await readCheckpoint(folder)).files;
  } catch (error) {
    if (isDamage(error)) return null;
    throw error;
  }
}

/** The first file that is not what was written, and what is wrong, in words; null where every file is. */
async function damageOf(folder: string): Promise<{ readonly file: string; readonly what: string } | null> {
  try {
    await verifyCheckpoint(folder);
    return null;
  } catch (error) {
    if (!isDamage(error)) throw error;
    const { file, how } = error.fields;
    return { file: String(file), what: `${String(file)} of the checkpoint ${String(how)}` };
  }
}

function isDamage(error: unknown): error is RunError {
  return error instanceof RunError && error.code === "RUN_CHECKPOINT_DAMAGED";
}
