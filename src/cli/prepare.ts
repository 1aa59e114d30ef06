/**
 * `thurstone prepare`: a data set's own label files to data files for training, validation and test.
 *
 * @module
 */
import { resolve } from "node:path";
import {
  genericPreset,
  labelPresets,
  prepareLabels,
  type GenericListOptions,
  type LabelPreset,
  type Normalisation,
  type PreparedSet,
} from "../data/index.js";
import { DataError } from "../errors.js";
import { isInteractive, type CommandIo } from "./io.js";

export interface PrepareCommandOptions {
  /** Name of a preset; undefined: `list` says how to read the labels. */
  readonly preset?: string;
  readonly list?: GenericListOptions;
  /** Files and folders, relative to the current directory, as all others. */
  readonly labels: readonly string[];
  /** Given where `imageCheck` is true. */
  readonly images?: string;
  /** False: pictures are neither looked for nor decoded, and rows name them as the list does. */
  readonly imageCheck: boolean;
  readonly out: string;
  readonly normalise?: Normalisation;
  readonly split: "auto" | "official" | "seeded";
  readonly seed: number;
  readonly licence?: string;
  readonly skipBroken: boolean;
  readonly overwrite: boolean;
  readonly json: boolean;
}

/** Writes the data files and says what is in them and how to train on them. */
export async function prepareData(options: PrepareCommandOptions, io: CommandIo): Promise<void> {
  const { normalise, split, seed, licence, skipBroken, overwrite } = options;
  const images = options.images === undefined ? undefined : resolve(io.cwd, options.images);
  const progress = openBar(io);
  const set = await prepareLabels({
    preset: options.list === undefined ? presetOf(options.preset!) : genericPreset(options.list),
    files: options.labels.map((file) => resolve(io.cwd, file)),
    out: resolve(io.cwd, options.out),
    ...(options.imageCheck && images !== undefined && { images, onPicture: progress.show }),
    ...(normalise !== undefined && { normalise }),
    ...(licence !== undefined && { licence }),
    split,
    seed,
    skipBroken,
    overwrite,
  }).finally(progress.close);
  io.stdout.write(options.json ? `${JSON.stringify(set, null, 2)}\n` : `${report(set, images).join("\n")}\n`);
}

function presetOf(name: string): LabelPreset {
  const preset = labelPresets.find((one) => one.name === name);
  if (preset !== undefined) return preset;
  throw new DataError(
    "DATA_UNKNOWN_PRESET",
    `There is no preset "${name}". Take one of ${labelPresets.map((one) => one.name).join(", ")}, or say what the columns are (--image-column, --mos-column).`,
    { fields: { name } },
  );
}

/** Pictures between two lines where the output is no terminal. */
const LINE_EVERY = 1000;
const BAR_WIDTH = 30;

function openBar(io: CommandIo): { readonly show: (done: number, total: number) => void; readonly close: () => void } {
  const live = isInteractive(io.stderr, io.env);
  let drawn = "";
  return {
    show(done, total) {
      if (!live) {
        if (done % LINE_EVERY === 0 || done === total) io.stderr.write(`pictures checked: ${done} of ${total}\n`);
        return;
      }
      const filled = Math.floor((done / total) * BAR_WIDTH);
      const bar = `[${"#".repeat(filled)}${"-".repeat(BAR_WIDTH - filled)}] ${Math.floor((done / total) * 100)} % of ${total} pictures`;
      if (bar !== drawn) io.stderr.write(`\r${bar}`);
      drawn = bar;
    },
    close() {
      if (drawn !== "") io.stderr.write("\n");
    },
  };
}

function report(set: PreparedSet, images: string | undefined): string[] {
  const lines = Object.values(set.parts).map(({ file, rows, groups }) => `${file}: ${rows} rows of ${groups} contents`);
  const { min, max } = set.range;
  const by = { nominal: "the data set's range", train: "the training part", all: "all rows" }[set.normalisation];
  lines.push(`${set.dataset}: scores from ${min} to ${max} (${by}) became 1 to 5; split: ${set.split}`);
  if (set.pictures !== null) {
    lines.push(`pictures: ${set.pictures.checked} decoded now, ${set.pictures.remembered} in an earlier call`);
  } else lines.push("pictures: not looked for");
  const rows = Object.values(set.parts).reduce((total, part) => total + part.rows, 0);
  if (set.expected !== null && rows !== set.expected) {
    lines.push(`${set.dataset} as it is published has ${set.expected} rows, and these files have ${rows}`);
  }
  if (set.leftOut.length > 0) lines.push(`no part of the set: ${set.leftOut.length} pictures (${set.leftOut[0]!.why})`);
  if (set.skipped.length > 0) lines.push(`left out: ${set.skipped.length} problems, listed in report.json`);
  const train = set.parts.train;
  if (train !== undefined) {
    lines.push(`train: npx thurstone train ... --data_file_paths ${train.file} --image_folders ${images ?? "FOLDER"}`);
  }
  return lines;
}
