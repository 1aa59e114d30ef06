/**
 * From a record of a data file to a row.
 *
 * @module
 */
import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { readKeys } from "../config/index.js";
import { parseKadidName } from "./kadid-name.js";
import type { DataProblem } from "./problems.js";
import { IMAGE_MARKER, RECORD_FORMATS, scoreOf } from "./record.js";
import type { DataRecord, NumberedRecord } from "./record.js";
import type { ContentPart, Message, Row } from "./row.js";

/** The values of the keys that say where rows come from. */
export type Source = ReturnType<typeof readKeys<"data_file_paths" | "image_folders" | "dataset_name">>;

/** Where a record was read, and what the configuration says about it. */
export interface RowContext {
  /** As problems name it. */
  readonly file: string;
  /** Index of the file among the data files. */
  readonly index: number;
  readonly folders: readonly string[];
  /** The data set's name where neither row nor configuration gives one. */
  readonly dataset: string | null;
  readonly source: Source;
  readonly answers: keyof typeof RECORD_FORMATS;
}

/** A row but for its pictures, which nobody has looked for yet. */
export type RowWithoutPictures = Omit<Row, "images">;

/** What a record says, as far as it can be told without its pictures. */
export interface InterpretedRecord {
  /** Null when there are problems. */
  readonly row: RowWithoutPictures | null;
  readonly problems: readonly DataProblem[];
}

/** Touches no file. */
export function interpretRecord(
  { line, record }: NumberedRecord,
  { file, index, dataset: byDefault, source, answers }: RowContext,
): InterpretedRecord {
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
  if (problems.length > 0 || dataset === null || contents === null) return { row: null, problems };

  const replies = valuesOf(record, "gpt");
  const imitated = answers === "text" ? replies : [];
  const mos = mosOf(record, answers);

  const row: RowWithoutPictures = {
    id: record.id,
    dataset,
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
  return { row, problems };
}

/** Pictures looked up at the same time. */
const LOOKUPS = 128;

/** Rows with their pictures looked up, in the order of the records, and what is wrong with the others. */
export async function buildRows(
  records: readonly NumberedRecord[],
  context: RowContext,
): Promise<{ readonly rows: readonly Row[]; readonly problems: readonly DataProblem[] }> {
  const rows: Row[] = [];
  const problems: DataProblem[] = [];
  for (let first = 0; first < records.length; first += LOOKUPS) {
    const built = await Promise.all(records.slice(first, first + LOOKUPS).map((record) => buildRow(record, context)));
    for (const one of built) {
      if ("problems" in one) problems.push(...one.problems);
      else rows.push(one);
    }
  }
  return { rows, problems };
}

async function buildRow(
  numbered: NumberedRecord,
  context: RowContext,
): Promise<Row | { readonly problems: readonly DataProblem[] }> {
  const { file, folders } = context;
  const { row, problems } = interpretRecord(numbered, context);
  const names = numbered.record.image;
  const images = await Promise.all(names.map((name) => findPicture(name, folders)));
  const missing = names.filter((_, position) => images[position] === null);
  const found = [
    ...problems,
    ...missing.map((name) => ({
      code: "DATA_IMAGE_MISSING",
      file,
      line: numbered.line,
      message: `"${name}" is in none of the image folders (${folders.join(", ")}).`,
    })),
  ];
  if (row === null || found.length > 0) return { problems: found };
  return { ...row, images: images.filter((path) => path !== null) };
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
export async function lookUp(path: string): Promise<Stats | null> {
  return stat(path).catch(() => null);
}
