/**
 * Rows from data files and image folders, checked as a whole before anything starts.
 *
 * Whether a picture exists is checked here; whether it can be decoded shows when it is first needed.
 *
 * @module
 */
import { readKeys } from "../config/index.js";
import type { ConfigInput, ConfigKey } from "../config/index.js";
import { DataError } from "../errors.js";
import { buildRows, lookUp } from "./build-row.js";
import type { RowContext, Source } from "./build-row.js";
import { readDataFile } from "./data-file.js";
import { dataError } from "./problems.js";
import type { DataProblem } from "./problems.js";
import { RECORD_FORMATS } from "./record.js";
import type { Row } from "./row.js";

/** The keys that say where rows come from. */
export const SOURCE_KEYS = ["data_file_paths", "image_folders", "dataset_name"] as const satisfies readonly ConfigKey[];

/**
 * The configuration's keys that say where rows come from; a whole configuration will do.
 *
 * `data_file_paths`: JSONL files or KADID-10k's `dmos.csv`, in order. `image_folders`: as many as files are one per file,
 * otherwise every folder is searched for every file, in order; none stands for each file's own folder (and `images` in it for
 * KADID's list). A `dataset.json`
 * beside the list, as `thurstone distort` writes it, names its data set. `dataset_name`: rows that carry a data set's
 * name must carry this one, rows without get it; null (the default) leaves it to the rows.
 */
export type RowSource = Partial<Pick<ConfigInput, (typeof SOURCE_KEYS)[number]>>;

/** Options of `loadRows`. */
export interface LoadRowsOptions {
  /**
   * What the values of "gpt" are. "score": labels of pictures to be rated; a row then has one question and its `mos`.
   * "text": answers to be imitated, any number of turns; they become the row's assistant messages, and `mos` is the field
   * `mos` or the last answer where that is a number. Default "score".
   */
  readonly answers?: keyof typeof RECORD_FORMATS;
}

/**
 * @returns rows of all files, in the order of files and lines
 * @throws DataError with every problem of every file in its message and in `fields.problems`
 */
export async function loadRows(config: RowSource, options: LoadRowsOptions = {}): Promise<Row[]> {
  const { answers = "score" } = options;
  const source = readKeys(config, SOURCE_KEYS);
  const files = source.data_file_paths;
  requireFiles(source);
  const read = await Promise.all(files.map((file, index) => loadFile(file, { index, source, answers })));
  const problems = [...(await missingFolders(source)), ...read.flatMap((one) => one.problems)];
  if (problems.length > 0) throw dataError(problems);
  return read.flatMap((one) => one.rows);
}

/** @throws DataError DATA_NO_FILES */
export function requireFiles({ data_file_paths: files }: Source): void {
  if (files.length === 0) throw new DataError("DATA_NO_FILES", "data_file_paths is empty: there are no rows to load.");
}

interface LoadedFile {
  readonly rows: readonly Row[];
  readonly problems: readonly DataProblem[];
}

type FileContext = Pick<RowContext, "index" | "source" | "answers">;

async function loadFile(file: string, context: FileContext): Promise<LoadedFile> {
  const { index, source, answers } = context;
  const { records, problems, folders: own, dataset } = await readDataFile(file, RECORD_FORMATS[answers]);
  const folders = foldersOf(index, source) ?? own;
  const built = await buildRows(records, { ...context, file, folders, dataset });
  const found = [...problems, ...built.problems];
  return { rows: built.rows, problems: found.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0)) };
}

/** A folder that is not there is said once, beside the pictures that are missing for it. */
export async function missingFolders({ image_folders: folders }: Source): Promise<DataProblem[]> {
  const found = await Promise.all(folders.map(async (folder) => (await lookUp(folder))?.isDirectory() === true));
  const message = `is no folder, and pictures are to be looked for in it. Paths are relative to ${process.cwd()}.`;
  return folders
    .filter((_, index) => found[index] === false)
    .map((file) => ({ code: "DATA_FOLDER_MISSING", file, line: null, message }));
}

/** Null when the configuration names none. */
export function foldersOf(
  index: number,
  { image_folders: folders, data_file_paths }: Source,
): readonly string[] | null {
  if (folders.length === 0) return null;
  return folders.length === data_file_paths.length ? [folders[index]!] : folders;
}
