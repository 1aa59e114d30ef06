/**
 * Data files and folders of pictures to load rows from.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { loadRows, type DataProblem, type RowSource } from "../../src/data/index.js";
import { DataError } from "../../src/errors.js";

/** Two folders of pictures, and data files as they are asked for; removed after the file's tests. */
export function makeRowFiles() {
  const root = mkdtempSync(join(tmpdir(), "thurstone-rows-"));
  afterAll(() => rmSync(root, { recursive: true }));
  const [images, more] = [join(root, "images"), join(root, "more")];
  for (const folder of [images, more, join(images, "a-folder.png")]) mkdirSync(folder);
  for (const name of ["I01_01_01.png", "I81_25_05.png", "a.png", "b.png"]) writeFileSync(join(images, name), "");
  for (const name of ["c.png", "a.png"]) writeFileSync(join(more, name), "");
  let files = 0;
  const writeData = (content: string | Uint8Array): string => {
    files += 1;
    const file = join(root, `data-${files}.jsonl`);
    writeFileSync(file, content);
    return file;
  };
  const load = (content: string | Uint8Array, source: RowSource = {}) =>
    loadRows({ data_file_paths: [writeData(content)], image_folders: [images], ...source });
  return { root, images, more, writeData, load };
}

/** The error of a loading that must fail, and its problems. */
export async function problemsOf(
  loading: Promise<unknown>,
): Promise<{ error: DataError; problems: readonly DataProblem[] }> {
  const error: unknown = await loading.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DataError);
  const { fields } = error as DataError;
  return { error: error as DataError, problems: (fields["problems"] ?? []) as readonly DataProblem[] };
}
