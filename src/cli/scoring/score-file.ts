/**
 * The file of scores: grows record by record, survives a kill, and is gone on with only by what began it.
 *
 * What began it stands beside it, in FILE.settings.json, so that the file itself holds nothing but scores.
 *
 * @module
 */
import { mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, extname } from "node:path";
import { DataError } from "../../errors.js";
import { canonicalJson } from "../../trainer/index.js";
import { FORMATS } from "./formats.js";
import type { ScoreFormat, ScoreRecord } from "./formats.js";

export interface ScoreFileOptions {
  readonly path: string;
  readonly format: ScoreFormat;
  /** Models, by name and content, and how they are asked: plain data. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly models: readonly string[];
  readonly resume: boolean;
  readonly overwrite: boolean;
}

export interface ScoreFile {
  /** What stood in it. */
  readonly standing: readonly ScoreRecord[];
  append(record: ScoreRecord): Promise<void>;
  close(): Promise<void>;
}

/** The format that the ending of a file's name asks for; null for another ending. */
export function formatOf(path: string): ScoreFormat | null {
  const ending = extname(path).slice(1).toLowerCase();
  return ending in FORMATS ? (ending as ScoreFormat) : null;
}

/**
 * @throws DataError SCORE_FILE_EXISTS without resume and overwrite; SCORE_FILE_SETTINGS for one that other models or settings
 * began; SCORE_FILE_DAMAGED
 */
export async function openScoreFile(options: ScoreFileOptions): Promise<ScoreFile> {
  const { path, resume, overwrite } = options;
  const there = await stat(path).then(
    ({ size }) => size > 0,
    () => false,
  );
  if (there && !resume && !overwrite) {
    throw new DataError(
      "SCORE_FILE_EXISTS",
      `${path} is there already. Go on with --resume, replace it with --overwrite, or give another name.`,
      { fields: { path } },
    );
  }
  return there && resume ? continueFile(options) : beginFile(options);
}

async function beginFile({ path, format, settings }: ScoreFileOptions): Promise<ScoreFile> {
  await mkdir(dirname(path), { recursive: true });
  // First, so that no file of scores is ever without.
  await writeFile(settingsFile(path), `${canonicalJson(settings, 2)}\n`);
  await writeFile(path, FORMATS[format].head);
  return appendable(path, format, []);
}

async function continueFile({ path, format, settings, models }: ScoreFileOptions): Promise<ScoreFile> {
  const began = await readFile(settingsFile(path), "utf8").catch((cause: unknown) => {
    throw otherSettings(path, `${settingsFile(path)}, which says what began it, cannot be read`, cause);
  });
  const differing = differences(parsed(began), settings);
  if (differing.length > 0) throw otherSettings(path, `it was begun with other values of ${differing.join(", ")}`);
  const text = await readFile(path, "utf8");
  const { records, length } = FORMATS[format].read(text, models[0]!);
  const kept = text.slice(0, length);
  // A head cut in its middle is written again.
  const whole = kept === "" ? FORMATS[format].head : kept;
  if (whole !== text) await writeFile(path, whole);
  return appendable(path, format, records);
}

async function appendable(path: string, format: ScoreFormat, standing: readonly ScoreRecord[]): Promise<ScoreFile> {
  const handle = await open(path, "a");
  return {
    standing,
    append: (record) => handle.appendFile(FORMATS[format].line(record)),
    close: () => handle.close(),
  };
}

function settingsFile(path: string): string {
  return `${path}.settings.json`;
}

function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function differences(one: Readonly<Record<string, unknown>>, other: Readonly<Record<string, unknown>>): string[] {
  const text = (value: unknown): string => canonicalJson({ value });
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].filter((name) => text(one[name]) !== text(other[name])).toSorted();
}

function otherSettings(path: string, what: string, cause?: unknown): DataError {
  return new DataError(
    "SCORE_FILE_SETTINGS",
    `${path} cannot be gone on with: ${what}. Ask as it was begun, or write another file.`,
    { cause, fields: { path } },
  );
}
