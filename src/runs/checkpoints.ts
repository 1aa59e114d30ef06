/**
 * Checkpoint folders that are either complete or not there: files are written into `step_000050.partial`, a manifest with
 * sizes and hashes is added, everything is synced to disk, and the folder is renamed to `step_000050`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import { RunError } from "../errors.js";
import { sync, syncTree } from "./durable.js";
import { fileFailure, isFileError, writing } from "./failures.js";
import { RUN_FILES, stepName, stepOf } from "./layout.js";

/** A file of a checkpoint; `name` is relative to its folder, with "/" between parts. */
export interface CheckpointFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A complete checkpoint. */
export interface Checkpoint {
  readonly step: number;
  /** Absolute or as given: the run folder it was asked for under, then `checkpoints/step_NNNNNN`. */
  readonly folder: string;
  readonly files: readonly CheckpointFile[];
}

/** A checkpoint being written. */
export interface CheckpointDraft {
  /** Exists and is empty at first. */
  readonly folder: string;
  /**
   * Makes the checkpoint complete.
   *
   * @param known files whose hashes their writer already told; their size is checked, their content is not read again
   */
  commit(known?: readonly CheckpointFile[]): Promise<Checkpoint>;
  /** Deletes the draft. */
  discard(): Promise<void>;
}

const MANIFEST = "manifest.json";
const FORMAT = 1;

/** Opens an empty draft; the rest of an earlier attempt at the same step is deleted. Throws RUN_WRITE_FAILED. */
export async function beginCheckpoint(options: {
  readonly runFolder: string;
  readonly step: number;
}): Promise<CheckpointDraft> {
  const complete = join(options.runFolder, RUN_FILES.checkpoints, stepName(options.step));
  const folder = `${complete}.partial`;
  await writing("prepare", folder, async () => {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
  });
  return {
    folder,
    commit: (known = []) => writing("complete", folder, () => commit(folder, complete, options.step, known)),
    // Tried again, because a worker may notice a moment later than this process that its files are not wanted.
    discard: () => rm(folder, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** Where a checkpoint lies that was once complete. */
export type CheckpointPlace = Pick<Checkpoint, "step" | "folder">;

/** Where the complete checkpoints of a run lie, by step. Nothing of them is read: one that is damaged hides no other. */
export async function listCheckpoints(runFolder: string): Promise<CheckpointPlace[]> {
  const parent = join(runFolder, RUN_FILES.checkpoints);
  const steps = (await namesIn(parent)).map(stepOf).filter((step) => step !== undefined);
  return steps.sort((a, b) => a - b).map((step) => ({ step, folder: join(parent, stepName(step)) }));
}

/** The checkpoint with the highest step. Nothing of it is read. */
export async function latestCheckpoint(runFolder: string): Promise<CheckpointPlace | undefined> {
  return (await listCheckpoints(runFolder)).at(-1);
}

/**
 * Reads every file of a checkpoint and compares it with the manifest.
 *
 * @throws RunError RUN_CHECKPOINT_DAMAGED naming the file, RUN_CHECKPOINT_MISSING when there is no such folder
 */
export async function verifyCheckpoint(folder: string): Promise<Checkpoint> {
  const checkpoint = await readCheckpoint(folder);
  for (const file of checkpoint.files) {
    const path = join(folder, file.name);
    const bytes = await sizeOf(path);
    if (bytes === undefined) throw damaged(folder, file.name, "is missing");
    if (bytes !== file.bytes) throw damaged(folder, file.name, `has ${bytes} bytes instead of ${file.bytes}`);
    if ((await sha256(path)) !== file.sha256) throw damaged(folder, file.name, "has another content than was written");
  }
  return checkpoint;
}

/** The checkpoint with the highest step whose files are all what was written; undefined when none is. */
export async function latestWholeCheckpoint(runFolder: string): Promise<Checkpoint | undefined> {
  for (const { folder } of (await listCheckpoints(runFolder)).reverse()) {
    const checkpoint = await verifyCheckpoint(folder).catch((error: unknown) => {
      if (error instanceof RunError) return undefined;
      throw error;
    });
    if (checkpoint !== undefined) return checkpoint;
  }
  return undefined;
}

/**
 * Deletes the oldest checkpoints until `keep` are left, besides that of step `spare`; returns the steps deleted. Nothing of
 * them is read: a damaged one is no obstacle.
 */
export async function pruneCheckpoints(options: {
  readonly runFolder: string;
  readonly keep: number;
  readonly spare?: number | undefined;
}): Promise<number[]> {
  const checkpoints = await listCheckpoints(options.runFolder);
  const newest = checkpoints.slice(-options.keep);
  const surplus = checkpoints.filter((one) => one.step !== options.spare && !newest.includes(one));
  for (const { folder } of surplus) {
    await writing("delete", folder, async () => {
      // Renamed first: a kill in the middle must not leave a folder that looks complete.
      await rename(folder, `${folder}.removing`);
      await rm(`${folder}.removing`, { recursive: true });
    });
  }
  return surplus.map(({ step }) => step);
}

/** Deletes what a killed process left under `checkpoints/`: drafts and half-deleted checkpoints. */
export async function removeLeftovers(runFolder: string): Promise<void> {
  const parent = join(runFolder, RUN_FILES.checkpoints);
  const leftovers = (await namesIn(parent)).filter((name) => name.endsWith(".partial") || name.endsWith(".removing"));
  for (const name of leftovers)
    await writing("delete", join(parent, name), () => rm(join(parent, name), { recursive: true }));
}

async function commit(
  draft: string,
  complete: string,
  step: number,
  known: readonly CheckpointFile[],
): Promise<Checkpoint> {
  const hashes = new Map(known.map((file) => [file.name, file]));
  const files: CheckpointFile[] = [];
  for (const name of await filesUnder(draft)) {
    const path = join(draft, name);
    const bytes = (await stat(path)).size;
    const told = hashes.get(name);
    if (told !== undefined && told.bytes !== bytes)
      throw damaged(draft, name, `has ${bytes} bytes instead of ${told.bytes}`);
    files.push({ name, bytes, sha256: told?.sha256 ?? (await sha256(path)) });
    hashes.delete(name);
  }
  const absent = [...hashes.keys()][0];
  if (absent !== undefined) throw damaged(draft, absent, "is missing");

  const content = { format: FORMAT, step, files };
  await writeFile(join(draft, MANIFEST), `${JSON.stringify({ ...content, digest: digestOf(content) }, null, 2)}\n`);
  await syncTree(draft);
  await rm(complete, { recursive: true, force: true });
  await rename(draft, complete);
  await sync(dirname(complete));
  await sync(dirname(dirname(complete)));
  return { step, folder: complete, files };
}

/**
 * What the manifest of a checkpoint says.
 *
 * @throws RunError RUN_CHECKPOINT_DAMAGED, RUN_CHECKPOINT_MISSING
 */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const named = stepOf(basename(folder));
  let text: string;
  try {
    text = await readFile(join(folder, MANIFEST), "utf8");
  } catch (error) {
    if (!isFileError(error) || error.code !== "ENOENT")
      throw fileFailure("RUN_READ_FAILED", "read", join(folder, MANIFEST), error);
    // A folder has its name only since it was complete.
    throw named !== undefined && existsSync(folder) ? damaged(folder, MANIFEST, "is missing") : missing(folder);
  }
  const manifest = parseManifest(text);
  if (manifest === undefined) throw damaged(folder, MANIFEST, "is not what was written");
  if (named !== undefined && named !== manifest.step)
    throw damaged(folder, MANIFEST, `is that of step ${manifest.step}: the folder was renamed or copied`);
  return { step: manifest.step, folder, files: manifest.files };
}

/** The digest covers everything else in the manifest, so its fields need no checks of their own. */
function parseManifest(text: string): { step: number; files: CheckpointFile[] } | undefined {
  try {
    const { digest, ...content } = JSON.parse(text) as {
      digest: string;
      format: number;
      step: number;
      files: CheckpointFile[];
    };
    return digest === digestOf(content) && content.format === FORMAT ? content : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

function digestOf(content: object): string {
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .sort();
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return [];
    throw fileFailure("RUN_READ_FAILED", "list", folder, error);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return undefined;
    throw fileFailure("RUN_READ_FAILED", "look at", path, error);
  }
}

function damaged(folder: string, file: string, how: string): RunError {
  return new RunError(
    "RUN_CHECKPOINT_DAMAGED",
    `checkpoint ${basename(folder)} is damaged: ${file} ${how}. Resume from another checkpoint of the run (${folder}).`,
    { fields: { folder, file, how } },
  );
}

function missing(folder: string): RunError {
  return new RunError("RUN_CHECKPOINT_MISSING", `${folder} is no complete checkpoint: it has no ${MANIFEST}.`, {
    fields: { folder },
  });
}
