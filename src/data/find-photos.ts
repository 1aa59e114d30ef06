/**
 * Picture files among files and folders.
 *
 * @module
 */
import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { dataError } from "./problems.js";
import type { DataProblem } from "./problems.js";

const EXTENSIONS: ReadonlySet<string> = new Set([".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".avif"]);

/**
 * Files stand for themselves, folders for the pictures in them and below, in the order of their names.
 *
 * @param also endings, in lower case with their dot, that count as pictures in folders besides those that can be decoded
 * @throws DataError that lists every path that is not there and every folder without a picture
 */
export async function findPhotos(paths: readonly string[], also: readonly string[] = []): Promise<string[]> {
  const found = await Promise.all(paths.map((path) => picturesAt(path, new Set([...EXTENSIONS, ...also]))));
  const problems = found.flatMap((one) => ("problem" in one ? [one.problem] : []));
  if (problems.length > 0) throw dataError(problems);
  return found.flatMap((one) => ("files" in one ? one.files : []));
}

async function picturesAt(
  path: string,
  extensions: ReadonlySet<string>,
): Promise<{ readonly files: string[] } | { readonly problem: DataProblem }> {
  const problem = (code: string, message: string): { problem: DataProblem } => ({
    problem: { code, file: path, line: null, message },
  });
  const there = await stat(path).catch((error: unknown) => error);
  if (there instanceof Error) return problem("DATA_IMAGE_MISSING", `cannot be read: ${there.message}.`);
  if (!(there as { isDirectory(): boolean }).isDirectory()) return { files: [path] };
  const names = await readdir(path, { recursive: true });
  const files = names
    .filter((name) => extensions.has(extname(name).toLowerCase()))
    .toSorted()
    .map((name) => join(path, name));
  if (files.length > 0) return { files };
  return problem("DATA_NO_FILES", `holds no picture (${[...extensions].join(" ")}).`);
}
