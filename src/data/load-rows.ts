/**
 * Rows from data files and image folders, checked as a whole before anything starts.
 *
 * Whether a picture exists is checked here; whether it can be decoded shows when it is first needed.
 *
 * @module
 */
import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { readKeys } from "../config/index.js";
import type { ConfigInput, ConfigKey } from "../config/index.js";
import { DataError } from "../errors.js";
import { readDataFile } from "./data-file.js";
import { parseKadidName } from "./kadid-name.js";
import { dataError } from "./problems.js";
import type { DataProblem } from "./problems.js";
import { IMAGE_MARKER, RECORD_FORMATS, scoreOf } from "./record.js";
import type { DataRecord, NumberedRecord } from "./record.js";
import type { ContentPart, Message, Row } from "./row.js";

const KEYS = ["data_file_paths", "image_folders", "dataset_name"] as const satisfies readonly ConfigKey[];

/**
 * The configuration's keys that say where rows come from; a whole configuration will do.
 *
 * `data_file_paths`: JSONL files or KADID-10k's `dmos.csv`, in order. `image_folders`: as many as files are one per file,
 * otherwise every folder is searched for every file, in order; none stands for each file's own folder (and `images` in it for
 * KADID's list). A `dataset.json`
 * beside the list, as `thurstone distort` writes it, names its data set. `dataset_name`: rows that carry a data set's
 * name must carry this one, rows without get it; null (the default) leaves it to the rows.
 */
export type RowSource = Partial<Pick<ConfigInput, (typeof KEYS)[number]>>;

type Source = ReturnType<typeof readKeys<(typeof KEYS)[number]>>;

/** Options of `loadRows`. */
export interface LoadRowsOptions {
  /**
   * What the values of "gpt" are. "score": labels of pictures to be rated; a row then has one question and its `mos`.
   * "text": answers to be imitated, any number of turns; they become the row's assistant messages, and `mos` is the field
   * `mos` or the last answer where that is a number. Default "score".
   */
  readonly answers?: keyof typeof RECORD_FORMATS;
}

/** Pictures looked up at the same time. */
const LOOKUPS = 128;

/**
 * @returns rows of all files, in the order of files and lines
 * @throws DataError with every problem of every file in its message and in `fields.problems`
 */
export async function loadRows(config: RowSource, options: LoadRowsOptions = {}): Promise<Row[]> {
  const { answers = "score" } = options;
  const source = readKeys(config, KEYS);
  const files = source.data_file_paths;
  if (files.length === 0) throw new DataError("DATA_NO_FILES", "data_file_paths is empty: there are no rows to load.");
  const read = await Promise.all(files.map((file, index) => loadFile(file, { index, source, answers })));
  const problems = [...(await missingFolders(source)), ...read.flatMap((one) => one.problems)];
  if (problems.length > 0) throw dataError(problems);
  return read.flatMap((one) => one.rows);
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
  const rows: Row[] = [];
  const found: DataProblem[] = [...problems];
  for (let first = 0; first < records.length; first += LOOKUPS) {
    const built = await Promise.all(
      records.slice(first, first + LOOKUPS).map((record) => buildRow(record, { ...context, file, folders, dataset })),
    );
    for (const one of built) {
      if ("problems" in one) found.push(...one.problems);
      else rows.push(one);
    }
  }
  return { rows, problems: found.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0)) };
}

/** A folder that is not there is said once, beside the pictures that are missing for it. */
async function missingFolders({ image_folders: folders }: Source): Promise<DataProblem[]> {
  const found = await Promise.all(folders.map(async (folder) => (await lookUp(folder))?.isDirectory() === true));
  const message = `is no folder, and pictures are to be looked for in it. Paths are relative to ${process.cwd()}.`;
  return folders
    .filter((_, index) => found[index] === false)
    .map((file) => ({ code: "DATA_FOLDER_MISSING", file, line: null, message }));
}

/** Null when the configuration names none. */
function foldersOf(index: number, { image_folders: folders, data_file_paths }: Source): readonly string[] | null {
  if (folders.length === 0) return null;
  return folders.length === data_file_paths.length ? [folders[index]!] : folders;
}

interface RowContext {
  readonly file: string;
  readonly index: number;
  readonly folders: readonly string[];
  /** The data set's name where neither row nor configuration gives one. */
  readonly dataset: string | null;
  readonly source: Source;
  readonly answers: keyof typeof RECORD_FORMATS;
}

async function buildRow(
  { line, record }: NumberedRecord,
  { file, index, folders, dataset: byDefault, source, answers }: RowContext,
): Promise<Row | { readonly problems: readonly DataProblem[] }> {
  const problems: DataProblem[] = [];
  const report = (code: string, message: string): void => {
    problems.push({ code, file, line, message });
  };

  const wanted = source.dataset_name;
  const dataset = record.dataset_name ?? wanted ?? byDefault;
  if (dataset === null) {
    report("DATA_FIELD", "dataset_name is missing; give it in the row, or for all rows in the configuration.");
  } else if (wanted !== null && dataset !== wanted) {
    report("DATA_WRONG_DATASET", `dataset_name is "${dataset}"; the configuration asks for "${wanted}".`);
  }

  const questions = valuesOf(record, "human").map(String);
  const contents = contentsOf(questions, record.image.length);
  if (contents === null) {
    const subject = questions.length === 1 ? "the question has" : "the questions have";
    report(
      "DATA_IMAGE_COUNT",
      `${subject} ${countMarkers(questions)} ${IMAGE_MARKER} and the row has ${record.image.length} pictures. Give as many of both, or leave ${IMAGE_MARKER} out.`,
    );
  }

  const images = await Promise.all(record.image.map((name) => findPicture(name, folders)));
  for (const [position, name] of record.image.entries()) {
    if (images[position] !== null) continue;
    report("DATA_IMAGE_MISSING", `"${name}" is in none of the image folders (${folders.join(", ")}).`);
  }
  if (problems.length > 0 || dataset === null || contents === null) return { problems };

  const replies = valuesOf(record, "gpt");
  const imitated = answers === "text" ? replies : [];
  const mos = mosOf(record, answers);

  return {
    id: record.id,
    dataset,
    images: images.filter((path) => path !== null),
    messages: contents.flatMap((content, turn): Message[] => [
      { role: "user", content },
      ...imitated.slice(turn, turn + 1).map((reply) => ({ role: "assistant" as const, content: String(reply) })),
    ]),
    ...(mos !== undefined && { mos }),
    ...(record.mos_std !== undefined && { mosStd: record.mos_std }),
    ...origin(record),
    source: { file: index, line },
    extra: Object.fromEntries(Object.entries(record).filter(([key]) => !RECORD_FORMATS[answers].fields.has(key))),
  };
}

/** Group, type and level as the row gives them, else as a picture's name in KADID's manner does. */
function origin(record: DataRecord): Pick<Row, "group" | "type" | "level"> {
  const named = record.image.length === 1 ? parseKadidName(record.image[0]!) : null;
  const group = record.group ?? named?.group;
  const type = record.type ?? named?.type;
  const level = record.level ?? named?.level;
  return {
    ...(group !== undefined && { group }),
    ...(type !== undefined && { type }),
    ...(level !== undefined && { level }),
  };
}

function valuesOf({ conversations }: DataRecord, side: "human" | "gpt"): (string | number)[] {
  return conversations.filter(({ from }) => from === side).map(({ value }) => value);
}

/** The picture's score: a field of its own, or the last thing the model says, where that is a number. */
function mosOf(record: DataRecord, answers: RowContext["answers"]): number | undefined {
  if (answers === "text" && typeof record["mos"] === "number") return record["mos"];
  const last = valuesOf(record, "gpt").at(-1);
  return last === undefined ? undefined : scoreOf(last);
}

function countMarkers(texts: readonly string[]): number {
  return texts.reduce((total, text) => total + text.split(IMAGE_MARKER).length - 1, 0);
}

/** Pictures where the texts mark them, else all of them first; null when marks and pictures do not match. */
function contentsOf(texts: readonly string[], images: number): ContentPart[][] | null {
  const markers = countMarkers(texts);
  if (markers !== 0 && markers !== images) return null;
  const picture: ContentPart = { type: "image" };
  const first = markers === 0 ? Array.from({ length: images }, () => picture) : [];
  return texts.map((text, turn) => [...(turn === 0 ? first : []), ...partsOf(text, picture)]);
}

function partsOf(text: string, picture: ContentPart): ContentPart[] {
  const pieces = text.split(IMAGE_MARKER);
  if (pieces.length === 1) return [{ type: "text", text }];
  return pieces.flatMap((piece, index): ContentPart[] => [
    ...(index > 0 ? [picture] : []),
    ...(piece === "" ? [] : [{ type: "text" as const, text: piece }]),
  ]);
}

async function findPicture(name: string, folders: readonly string[]): Promise<string | null> {
  for (const folder of folders) {
    const path = resolve(folder, name);
    if ((await lookUp(path))?.isFile() === true) return path;
  }
  return null;
}

/** What lies at a path; null when nothing can be seen there, for whatever reason: the caller then looks elsewhere. */
async function lookUp(path: string): Promise<Stats | null> {
  return stat(path).catch(() => null);
}
