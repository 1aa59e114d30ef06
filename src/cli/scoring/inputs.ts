/**
 * What is to be scored: files, folders and patterns, as pictures with the names that records give them.
 *
 * @module
 */
import { stat } from "node:fs/promises";
import { isAbsolute, relative, resolve } from "node:path";
import { expandGlob, findPhotos, isGlob } from "../../data/index.js";
import { DataError } from "../../errors.js";

/** A picture to score. */
export interface ScoreInput {
  /** As records show it: relative to the current folder where it was given so. */
  readonly name: string;
  readonly path: string;
}

/** Pictures that are refused, each by its record, where leaving them out of a folder would go unnoticed. */
const ALSO = [".heic", ".heif", ".svg", ".bmp", ".jp2", ".jxl"];

/**
 * Each picture once, in the order of the arguments, those of a folder or a pattern in the order of their names.
 *
 * @throws DataError SCORE_NO_INPUT for an argument that meets nothing, DATA_NO_FILES for a folder without a picture
 */
export async function findInputs(given: readonly string[], cwd: string): Promise<ScoreInput[]> {
  const inputs = new Map<string, ScoreInput>();
  for (const argument of given) {
    for (const path of await pathsOf(resolve(cwd, argument), argument)) {
      if (!inputs.has(path)) inputs.set(path, { path, name: isAbsolute(argument) ? path : relative(cwd, path) });
    }
  }
  return [...inputs.values()];
}

async function pathsOf(path: string, argument: string): Promise<string[]> {
  const there = await stat(path).then(
    () => true,
    () => false,
  );
  if (there) return findPhotos([path], ALSO);
  const matching = isGlob(argument) ? await expandGlob(path) : [];
  if (matching.length > 0) return matching;
  throw new DataError(
    "SCORE_NO_INPUT",
    `"${argument}" is ${isGlob(argument) ? "a pattern that no file matches" : "neither a file nor a folder"}. Give pictures, folders, or patterns in quotes.`,
    { fields: { argument } },
  );
}
