/**
 * Checkpoints of a run: taken at once, or copied at once and written while training goes on.
 *
 * At most one is under way. It counts when all of it is on the disk: then the older ones that are too many are deleted, and
 * the log, the events and the callback tell of it. That happens between steps, never in the middle of one.
 *
 * @module
 */
import { savesBesideTraining } from "../config/index.js";
import { listCheckpoints, pruneCheckpoints } from "../runs/index.js";
import type { Checkpoint } from "../runs/index.js";
import { bestOf } from "./best.js";
import type { Judged } from "./best.js";
import { callBack } from "./callbacks.js";
import { beginCheckpointSave, saveCheckpoint } from "./checkpoint.js";
import type { StepValues } from "./events.js";
import type { Run } from "./milestones.js";

/** The checkpoint that is being written while training goes on. */
export interface SaveSlot {
  /** null: there is none. */
  current: SaveUnderWay | null;
}

interface SaveUnderWay {
  readonly complete: Promise<Checkpoint>;
  /** Seconds until it was written, or could not be; null before. */
  readonly took: () => number | null;
  readonly waitedSeconds: number;
}

/**
 * Takes a checkpoint, or begins to, once the one before is complete.
 *
 * @param last nothing follows that could go on meanwhile: no copy is made, and the checkpoint is complete in the end
 * @throws RunError RUN_WRITE_FAILED, of this checkpoint or the one before
 */
export async function save<Metrics extends StepValues>(
  run: Run<Metrics>,
  { last = false }: { readonly last?: boolean } = {},
): Promise<void> {
  const { prepared, policy, writer, state, saving } = run;
  const started = performance.now();
  await settleSave(run);
  await writer.sync();
  if (last || !savesBesideTraining(prepared.config, policy.description.device)) {
    const checkpoint = await saveCheckpoint(policy, writer.folder, state, prepared.config.save_only_model);
    const seconds = secondsSince(started);
    await onComplete(run, checkpoint, { seconds, waitedSeconds: seconds });
    return;
  }
  const { complete } = await beginCheckpointSave(policy, writer.folder, state);
  let took: number | null = null;
  const end = (): void => void (took = secondsSince(started));
  saving.current = { complete, took: () => took, waitedSeconds: secondsSince(started) };
  complete.then(end, end);
}

/**
 * Sees a checkpoint that is under way to its end.
 *
 * @param wait otherwise it is only looked at, and left alone while it is being written. Default true.
 * @throws RunError RUN_WRITE_FAILED when it could not be written; WorkerError when the worker ended
 */
export async function settleSave<Metrics extends StepValues>(
  run: Run<Metrics>,
  { wait = true }: { readonly wait?: boolean } = {},
): Promise<void> {
  const { current } = run.saving;
  if (current === null || (!wait && current.took() === null)) return;
  run.saving.current = null;
  const checkpoint = await current.complete;
  // Known before this goes on: it was the first to wait for it.
  await onComplete(run, checkpoint, { seconds: current.took()!, waitedSeconds: current.waitedSeconds });
}

/** Deletes checkpoints that are too many, and tells of the new one. */
async function onComplete<Metrics extends StepValues>(
  run: Run<Metrics>,
  { step, folder: checkpoint, files }: Checkpoint,
  times: { readonly seconds: number; readonly waitedSeconds: number },
): Promise<void> {
  const { prepared, writer, control, callbacks } = run;
  const { save_total_limit: keep } = prepared.config;
  if (keep !== null) {
    const best = await bestCheckpoint(run);
    await pruneCheckpoints({ runFolder: writer.folder, keep, spare: best?.step });
  }
  const digests = Object.fromEntries(files.map(({ name, sha256 }) => [name, sha256]));
  const event = { type: "checkpoint-end", step, folder: checkpoint, ...times, digests } as const;
  writer.event(event);
  control.emit(event);
  await callBack(callbacks, "onSave", { step, checkpoint, folder: writer.folder });
}

interface BestCheckpoint extends Judged {
  readonly folder: string;
}

/** The checkpoint that `load_best_model_at_end` asks for; null where it asks for none, or there is none. */
export async function bestCheckpoint(
  run: Pick<Run<StepValues>, "prepared" | "writer" | "state">,
): Promise<BestCheckpoint | null> {
  if (!run.prepared.config.load_best_model_at_end) return null;
  const checkpoints = await listCheckpoints(run.writer.folder);
  const best = bestOf(
    run.state.evaluations,
    checkpoints.map(({ step }) => step),
  );
  const found = checkpoints.find(({ step }) => step === best?.step);
  return best === null || found === undefined ? null : { ...best, folder: found.folder };
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
