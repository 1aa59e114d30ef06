/**
 * Files that a run saved beside those that come out when its steps are executed again: training state and exported models.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Checkpoint } from "../../runs/index.js";
import { TRAINER_FILE } from "../checkpoint.js";
import { digestModel } from "../evaluation/index.js";
import type { Comparisons, Subject } from "./comparisons.js";
import type { RecordedCheckpoint } from "./recorded-checkpoints.js";
import { compareTensors } from "./tensors.js";
import type { TensorDifference } from "./tensors.js";

/** How the steps were executed again. */
export interface SavedContext {
  readonly step: number;
  /** How far apart weights may be that another machine computed; null: they are the same to the bit; infinite: any distance. */
  readonly reach: number | null;
  readonly comparisons: Comparisons;
}

/** Fields of JSON files that say where or when, or what is not made again. */
const LEFT_OUT: Readonly<Record<string, readonly string[]>> = {
  [TRAINER_FILE]: ["evaluations", "fingerprint"],
  "adapter_config.json": ["base_model_name_or_path"],
};
/** Tensors shown one by one; more are told together. */
const SHOWN = 3;

/** A file of a set: digests where they are known, and paths where they are files. */
interface SavedFile {
  readonly name: string;
  readonly recorded: string | null;
  readonly found: string | null;
}

interface Folders {
  /** Null when it was deleted. */
  readonly recorded: string | null;
  readonly found: string;
  /** What is known of the recorded files is what they hold. */
  readonly intact: boolean;
  /** The file that is known not to be what was written, and is named as that. */
  readonly damaged?: string | null;
  /** What files without tensors are about. */
  readonly about: Extract<Subject, "state" | "export">;
}

/** Compares a checkpoint, or what the log says of one that was deleted. */
export async function compareCheckpoint(
  then: RecordedCheckpoint,
  now: Checkpoint,
  context: SavedContext,
): Promise<void> {
  const recorded = new Map(then.files?.map(({ name, sha256 }) => [name, sha256]) ?? Object.entries(then.digests ?? {}));
  const found = new Map(now.files.map(({ name, sha256 }) => [name, sha256]));
  const names = [...new Set([...recorded.keys(), ...found.keys()])].sort();
  await compareFiles(
    names.map((name) => ({ name, recorded: recorded.get(name) ?? null, found: found.get(name) ?? null })),
    {
      recorded: then.folder,
      found: now.folder,
      intact: then.intact,
      damaged: then.damaged,
      about: names.includes(TRAINER_FILE) ? "state" : "export",
    },
    context,
  );
}

/** Compares two folders of exported models. */
export async function compareModels(
  folders: { readonly recorded: string; readonly found: string },
  context: SavedContext,
): Promise<void> {
  const [then, now] = await Promise.all([digestModel(folders.recorded), digestModel(folders.found)]);
  const [recorded, found] = [then, now].map(({ files }) => new Map(files!.map(({ name, sha256 }) => [name, sha256])));
  const names = [...new Set([...recorded!.keys(), ...found!.keys()])].sort();
  await compareFiles(
    names.map((name) => ({ name, recorded: recorded!.get(name) ?? null, found: found!.get(name) ?? null })),
    { ...folders, intact: true, about: "export" },
    context,
  );
}

async function compareFiles(files: readonly SavedFile[], folders: Folders, context: SavedContext): Promise<void> {
  const isTensors = ({ name }: SavedFile): boolean => name.endsWith(".safetensors");
  const isOptimizer = ({ name }: SavedFile): boolean => /^optimizer[-.\d]/.test(name);
  const { reach, comparisons } = context;
  const tensors = files.filter(isTensors);
  const weights = tensors.filter((file) => !isOptimizer(file));
  if (reach === Number.POSITIVE_INFINITY) {
    comparisons.leaveOut("The weights: nothing bounds how far apart 8-bit AdamW brings them on two machines.");
  } else await compareSet(weights, "weight", folders, context);
  if (reach !== null) {
    comparisons.leaveOut("The optimizer's state: its bits are another machine's.");
    comparisons.leaveOut("Files of checkpoints that hold no tensors: numbers in them are another machine's.");
    return;
  }
  await compareSet(tensors.filter(isOptimizer), "optimizer", folders, context);
  for (const file of files.filter((one) => !isTensors(one))) await compareOther(file, folders, context);
}

/** Files that hold the tensors of one kind, in one piece or several. */
async function compareSet(
  files: readonly SavedFile[],
  about: Subject,
  folders: Folders,
  { step, reach, comparisons }: SavedContext,
): Promise<void> {
  if (files.length === 0) return;
  const kind = about === "weight" ? "weights" : "optimizer's state";
  const pathsIn = (folder: string): string[] => files.map(({ name }) => join(folder, name)).filter(existsSync);
  const before = folders.recorded;
  if (before === null) {
    if (reach !== null) return comparisons.leaveOut(`The ${kind} after step ${step}: only a digest is left of them.`);
    for (const { name, recorded, found } of files) {
      comparisons.compare({ about, step, what: `digest of ${name}, whose checkpoint was deleted`, recorded, found });
    }
    return;
  }
  if (folders.intact && files.every(({ recorded, found }) => recorded === found)) {
    for (const { name, recorded, found } of files) comparisons.compare({ about, step, what: name, recorded, found });
    return;
  }
  const { tensors, differences } = await compareTensors(pathsIn(before), pathsIn(folders.found));
  const far = differences.filter(({ distance }) => reach === null || distance > reach);
  const one = { about, step } as const;
  if (far.length > SHOWN) {
    const worst = far.reduce((a, b) => (b.distance > a.distance ? b : a));
    const what = `${far.length} of ${tensors} tensors of the ${kind}, most of all ${placeOf(worst)}`;
    return comparisons.compare({ ...one, what, recorded: worst.recorded, found: worst.found }, false);
  }
  for (const tensor of far) {
    const what = `${about} ${placeOf(tensor)}, ${tensor.differing} of its ${tensor.elements} values`;
    comparisons.compare({ ...one, what, recorded: tensor.recorded, found: tensor.found }, false);
  }
  if (far.length > 0) return;
  // Other bytes with the same tensors: something around them was changed.
  for (const { name, recorded, found } of files) {
    const what = `${name}, all of whose tensors agree`;
    comparisons.compare({ ...one, what, recorded, found }, reach === null ? undefined : true);
  }
}

function placeOf({ name, at }: TensorDifference): string {
  return at.length === 0 ? name : `${name}[${at.join(", ")}]`;
}

async function compareOther(
  { name, recorded, found }: SavedFile,
  { about, ...folders }: Folders,
  { step, comparisons }: SavedContext,
): Promise<void> {
  const leftOut = LEFT_OUT[name.split("/").at(-1)!] ?? [];
  const whole = { about, step, what: name, recorded, found };
  const fields = name.endsWith(".json") && recorded !== null && found !== null;
  if (recorded === found || !fields || (folders.recorded === null && leftOut.length === 0)) {
    return comparisons.compare(whole);
  }
  if (folders.recorded === null) {
    return comparisons.leaveOut(
      `${name} after step ${step}: only a digest is left of it, which covers evaluations too.`,
    );
  }
  const [then, now] = await Promise.all(
    [folders.recorded, folders.found].map((folder) => readFields(join(folder, name))),
  );
  if (then === null || now === null) {
    if (name !== folders.damaged) comparisons.compare(whole, false);
    return;
  }
  const names = [...new Set([...Object.keys(then!), ...Object.keys(now!)])].filter((field) => !leftOut.includes(field));
  for (const field of names) {
    const pair = { recorded: then![field] ?? null, found: now![field] ?? null };
    comparisons.compare({ about, step, what: `${field} in ${name}`, ...pair });
  }
  // Other bytes with the same fields: something around them was changed.
  if (leftOut.length > 0 || names.some((field) => !isDeepStrictEqual(then![field], now![field]))) return;
  comparisons.compare({ ...whole, what: `${name}, all of whose fields agree` });
}

/** The fields of a JSON file; null where there is no such file, or it holds no JSON object. */
async function readFields(path: string): Promise<Readonly<Record<string, unknown>> | null> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    return typeof value === "object" ? (value as Record<string, unknown> | null) : null;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
