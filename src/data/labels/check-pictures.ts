/**
 * Finds the pictures of a list in a folder and decodes each once, a few at a time, and picks up where it was stopped.
 *
 * @module
 */
import { appendFileSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, sep } from "node:path";
import { DataError } from "../../errors.js";
import { createGate, decodeImage } from "../../images/index.js";
import type { DataProblem } from "../problems.js";
import type { Label } from "./read-labels.js";

export interface CheckPicturesOptions {
  /** Pictures lie in it or in folders within; letter case of names does not matter. */
  readonly folder: string;
  /** What was found in order is noted here, so that a later call need not decode it again. */
  readonly notes: string;
  /** Pictures decoded at the same time. Default: as many as there are processors. */
  readonly places?: number;
  /** Called after each picture. */
  readonly onPicture?: (done: number, total: number) => void;
}

export interface CheckedPictures {
  /** Labels whose pictures are in order, named by their path in the folder, with "/". */
  readonly labels: readonly Label[];
  /** By file and line of the label. */
  readonly problems: readonly DataProblem[];
  /** Pictures that the notes said are in order and that have not changed since. */
  readonly remembered: number;
}

/** @throws DataError DATA_FOLDER_MISSING */
export async function checkPictures(
  labels: readonly Label[],
  { folder, notes, places = availableParallelism(), onPicture }: CheckPicturesOptions,
): Promise<CheckedPictures> {
  const find = await indexFolder(folder);
  const known = await readNotes(notes);
  const gate = createGate(places);
  let done = 0;
  let remembered = 0;
  const checked = await Promise.all(
    labels.map((label) =>
      gate(async () => {
        const { picture, file, line } = label;
        const found = find(picture);
        const problem = typeof found === "string" ? await decodeOnce(found) : found;
        done += 1;
        onPicture?.(done, labels.length);
        if (problem !== null) return { problem: { ...problem, file, line } };
        return { label: { ...label, picture: found as string } };
      }),
    ),
  );

  async function decodeOnce(picture: string): Promise<Pick<DataProblem, "code" | "message"> | null> {
    const path = join(folder, picture);
    const { size, mtimeMs } = await stat(path);
    const note = JSON.stringify([picture, size, mtimeMs]);
    if (known.has(note)) {
      remembered += 1;
      return null;
    }
    try {
      await decodeImage(path, { name: `"${picture}"` });
    } catch (error) {
      if (error instanceof DataError) return { code: error.code, message: error.message };
      throw error;
    }
    // One write per line: a call that is killed leaves whole lines, but perhaps the last.
    appendFileSync(notes, `${note}\n`);
    return null;
  }

  return {
    labels: checked.flatMap(({ label }) => label ?? []),
    problems: checked.flatMap(({ problem }) => problem ?? []),
    remembered,
  };
}

async function readNotes(file: string): Promise<ReadonlySet<string>> {
  try {
    return new Set((await readFile(file, "utf8")).split("\n"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Set();
    throw error;
  }
}

type Find = (picture: string) => string | Pick<DataProblem, "code" | "message">;

/** By path in the folder, else by name alone where only one file has it. */
async function indexFolder(folder: string): Promise<Find> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw new DataError("DATA_FOLDER_MISSING", `${folder} cannot be read, and pictures are to be looked for in it.`, {
      cause: error,
      fields: { folder },
    });
  });
  const paths = new Map<string, string>();
  const folded = new Map<string, string[]>();
  const names = new Map<string, string[]>();
  const add = (map: Map<string, string[]>, key: string, path: string): void => {
    const same = map.get(key);
    if (same === undefined) map.set(key, [path]);
    else same.push(path);
  };
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name).slice(join(folder, sep).length).replaceAll(sep, "/");
    paths.set(path, path);
    add(folded, path.toLowerCase(), path);
    add(names, entry.name.toLowerCase(), path);
  }
  return (picture) => {
    const exact = paths.get(picture);
    if (exact !== undefined) return exact;
    const key = picture.toLowerCase();
    const candidates = folded.get(key) ?? names.get(key) ?? [];
    if (candidates.length === 1) return candidates[0]!;
    if (candidates.length === 0) {
      return { code: "DATA_IMAGE_MISSING", message: `"${picture}" is not in ${folder}, nor in a folder within.` };
    }
    const message = `"${picture}" may be any of ${candidates.slice(0, 3).join(", ")}. Give the folder of one of them, or name it so.`;
    return { code: "DATA_IMAGE_AMBIGUOUS", message };
  };
}
