/**
 * From a data set's label files to data files for training, validation and test.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { formatHeader, type DataHeader } from "../header.js";
import { writeFolder } from "../output-folder.js";
import { dataError, type DataProblem } from "../problems.js";
import { ratingQuestion } from "../rating-question.js";
import { checkPictures, type CheckPicturesOptions } from "./check-pictures.js";
import { createScale, rangeOf, type Normalisation, type Scale } from "./normalise.js";
import { SPLIT_PARTS, splitLabels, type LabelParts } from "./parts.js";
import type { LabelPreset, LabelRange, SplitPart } from "./preset.js";
import { readLabels, type Label, type Labels } from "./read-labels.js";

export interface PrepareLabelsOptions {
  readonly preset: LabelPreset;
  /** Label files; several are one list. */
  readonly files: readonly string[];
  /** Folder to write: train.jsonl, val.jsonl, test.jsonl, report.json. */
  readonly out: string;
  /**
   * Folder of the pictures: each is looked for and decoded. Should that be stopped, `OUT.pictures` beside the folder knows
   * which are done. Default: they are not looked for, and rows name them as the list does.
   */
  readonly images?: string;
  readonly onPicture?: CheckPicturesOptions["onPicture"];
  /** Where the range of scores comes from. Default: "nominal", and "train" for a set without a nominal range. */
  readonly normalise?: Normalisation;
  /** Default "auto": the official split where the labels have one. */
  readonly split?: "auto" | "official" | "seeded";
  /** Of the seeded split. Default 42. */
  readonly seed?: number;
  /** Default: the preset's. */
  readonly licence?: string;
  /** Leave lines with problems out, and list them in the report, instead of failing. Default false. */
  readonly skipBroken?: boolean;
  /** Replace what an earlier call wrote. Default false. */
  readonly overwrite?: boolean;
}

export interface PreparedPart {
  readonly file: string;
  readonly rows: number;
  readonly groups: number;
  /** SHA-256 of the file. */
  readonly digest: string;
}

/** What was written; `report.json` holds it with names of files instead of paths. */
export interface PreparedSet {
  readonly dataset: string;
  /** Rows of the data set as it is published; null where that is not known. */
  readonly expected: number | null;
  /** Those that have rows. */
  readonly parts: Readonly<Partial<Record<SplitPart, PreparedPart>>>;
  readonly split: LabelParts["kind"];
  readonly normalisation: Normalisation;
  /** Of the original scores, which became 1 to 5. */
  readonly range: LabelRange;
  /** Pictures in the list that are no part of the set. */
  readonly leftOut: Labels["leftOut"];
  /** How many were decoded now, and how many by an earlier call that was stopped; null: they were not looked for. */
  readonly pictures: { readonly checked: number; readonly remembered: number } | null;
  /** Lines that were left out with `skipBroken`. */
  readonly skipped: readonly DataProblem[];
}

const DEFAULT_SEED = 42;
const REPORT = "report.json";
const fileOf = (part: SplitPart): string => `${part}.jsonl`;

/**
 * @throws DataError DATA_FOLDER_NOT_EMPTY; with every problem of every label file; then with every picture that is missing
 *   or cannot be decoded; those of the split. Nothing is written then
 */
export async function prepareLabels(options: PrepareLabelsOptions): Promise<PreparedSet> {
  const { out, overwrite = false } = options;
  const notes = `${resolve(out)}.pictures`;
  const entries = [...SPLIT_PARTS.map(fileOf), REPORT];
  const set = await writeFolder({ folder: out, overwrite, entries }, async (folder) =>
    writeParts(folder, await readChecked(options, notes), options),
  );
  await rm(notes, { force: true });
  const parts = Object.entries(set.parts).map(([part, written]) => [
    part,
    { ...written, file: resolve(out, written.file) },
  ]);
  return { ...set, parts: Object.fromEntries(parts) as PreparedSet["parts"] };
}

/** Labels that can be used, with what is wrong with the others. */
interface CheckedLabels extends Labels {
  readonly pictures: PreparedSet["pictures"];
}

async function readChecked(options: PrepareLabelsOptions, notes: string): Promise<CheckedLabels> {
  const { preset, files, images: folder, onPicture, skipBroken = false } = options;
  const refuse = ({ labels, problems }: Pick<Labels, "labels" | "problems">): void => {
    const fatal = !skipBroken || labels.length === 0 || problems.some(({ line }) => line === null);
    if (problems.length > 0 && fatal) throw dataError(problems);
  };
  const read = await readLabels(files, preset);
  refuse(read);
  if (folder === undefined) return { ...read, pictures: null };
  const checked = await checkPictures(read.labels, { folder, notes, ...(onPicture && { onPicture }) });
  refuse(checked);
  const { labels, remembered } = checked;
  const pictures = { checked: labels.length - remembered, remembered };
  return { ...read, labels, problems: [...read.problems, ...checked.problems], pictures };
}

async function writeParts(folder: string, read: CheckedLabels, options: PrepareLabelsOptions): Promise<PreparedSet> {
  const { preset, files, seed = DEFAULT_SEED, split = "auto" } = options;
  const { dataset } = preset;
  const { labels } = read;
  const divided = splitLabels(labels, { dataset, seed, split });
  const normalisation = options.normalise ?? (read.range === null ? "train" : "nominal");
  const scale = createScale(chooseRange(normalisation, { read, preset, divided }), preset.better);
  const header: Omit<DataHeader, "part" | "counts" | "digests"> = {
    dataset_name: dataset,
    scale: { min: 1, max: 5, better: "higher" },
    normalisation: { by: normalisation, range: scale.range, better: preset.better },
    split: { kind: divided.kind, seed: divided.kind === "seeded" ? seed : null },
    source: preset.source,
    licence: options.licence ?? preset.licence,
  };
  const digests = Object.fromEntries(
    await Promise.all(files.map(async (file) => [basename(file), digestOf(await readFile(file))] as const)),
  );
  const ids = new Map(labels.map((label, index) => [label, index + 1]));

  const parts: Partial<Record<SplitPart, PreparedPart>> = {};
  for (const part of SPLIT_PARTS) {
    const own = divided.parts[part];
    if (own.length === 0) continue;
    const rows = own.map((label) => formatRow(label, { id: ids.get(label)!, dataset, scale })).join("");
    const groups = new Set(own.map(({ group, picture }) => group ?? picture)).size;
    const counts = { rows: own.length, groups };
    const first = formatHeader({ ...header, part, counts, digests: { labels: digests, rows: digestOf(rows) } });
    const text = `${first}\n${rows}`;
    await writeFile(join(folder, fileOf(part)), text);
    parts[part] = { file: fileOf(part), ...counts, digest: digestOf(text) };
  }
  const { leftOut, pictures, problems: skipped } = read;
  const set = {
    dataset,
    expected: preset.rows,
    parts,
    split: divided.kind,
    normalisation,
    range: scale.range,
    leftOut,
    pictures,
    skipped,
  };
  await writeFile(join(folder, REPORT), `${JSON.stringify(set, null, 2)}\n`);
  return set;
}

function chooseRange(
  normalisation: Normalisation,
  { read, preset, divided }: { readonly read: Labels; readonly preset: LabelPreset; readonly divided: LabelParts },
): LabelRange {
  if (normalisation === "all") return rangeOf(read.labels.map(({ mos }) => mos));
  if (normalisation === "train") return rangeOf(divided.parts.train.map(({ mos }) => mos));
  if (read.range !== null) return read.range;
  const message = `${preset.dataset} has no nominal range of scores. Normalise by "train" or "all".`;
  throw dataError([{ code: "DATA_NO_NOMINAL_RANGE", file: read.labels[0]!.file, line: null, message }]);
}

/** A line as the reference writes it, with what else is known. */
function formatRow(
  { picture, mos, std, group, type, level }: Label,
  { id, dataset, scale }: { readonly id: number; readonly dataset: string; readonly scale: Scale },
): string {
  const row = {
    id,
    dataset_name: dataset,
    image: [picture],
    conversations: [
      { from: "human", value: ratingQuestion },
      { from: "gpt", value: scale.score(mos) },
    ],
    mos_std: std === undefined ? undefined : scale.deviation(std),
    group,
    type,
    level,
    mos_raw: mos,
  };
  return `${JSON.stringify(row)}\n`;
}

function digestOf(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
