/**
 * A small data set of degraded photographs: the bundled pictures, cut into windows, degraded in KADID's ways, and labelled
 * with KADID's mean scores by type and level.
 *
 * The scores are opinions of people, but of other pictures: good enough to see a training work, not to judge a metric by.
 *
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, parse } from "node:path";
import sharp from "sharp";
import { z } from "zod";
import { DataError } from "../errors.js";
import { decodeImage } from "../images/index.js";
import { foldKey } from "../stats/index.js";
import { distort, distortions } from "./distortions/index.js";
import type { Distortion, RgbImage } from "./distortions/index.js";
import { textKey } from "./text-key.js";
import { cutWindows } from "./windows.js";

export interface QuickstartSetOptions {
  /** Photographs and their `split.json`: {"train": [file, ...], "heldOut": [file, ...]}. */
  readonly photosDir: string;
  /** KADID's mean scores by type and level, as in assets/kadid/means.json. */
  readonly meansFile: string;
  /** Takes train.jsonl, heldout.jsonl and the folder images; made if need be, files of the same name are replaced. */
  readonly outDir: string;
  readonly seed: number;
  /** Side of a window in pixels. Default 56. */
  readonly size?: number;
  /** Windows per training photograph. Default 4. */
  readonly trainWindows?: number;
  /** Windows per held-out photograph. Default 1. */
  readonly heldOutWindows?: number;
  /** What the model is asked. Default: a question short enough for a small model. */
  readonly question?: string;
}

export interface QuickstartSet {
  readonly trainFile: string;
  readonly heldOutFile: string;
  /** Rows of each file. */
  readonly trainRows: number;
  readonly heldOutRows: number;
  /** Pictures left out because the window has no colour to change. */
  readonly skipped: number;
}

const QUESTION = "Rate the quality of this image from 1 to 5.";
const DATASET = "quickstart";
const LEVELS = [1, 2, 3, 4, 5] as const;
/** Mean distance of the greatest from the smallest channel below which a window counts as grey or sepia. */
const LEAST_COLOUR = 32;

const splitSchema = z.object({ train: z.array(z.string()).min(1), heldOut: z.array(z.string()).min(1) });
const scores = z.array(z.number()).length(LEVELS.length);
const meansSchema = z.object({ types: z.array(z.object({ type: z.string(), mean: scores, std: scores })) });

type Means = ReadonlyMap<string, { readonly mean: readonly number[]; readonly std: readonly number[] }>;

/**
 * Writes pictures and data files. The same options give the same bytes; all windows of a photograph are in one file.
 *
 * @throws DataError when a photograph, the split or the means cannot be used
 */
export async function writeQuickstartSet(options: QuickstartSetOptions): Promise<QuickstartSet> {
  const { photosDir, outDir, trainWindows = 4, heldOutWindows = 1 } = options;
  const split = await readJson(join(photosDir, "split.json"), splitSchema);
  const { types } = await readJson(options.meansFile, meansSchema);
  const means: Means = new Map(types.map((entry) => [entry.type, entry]));
  await mkdir(join(outDir, "images"), { recursive: true });

  const first = await writePart(options, { photos: split.train, windows: trainWindows, firstNumber: 1, means });
  const second = await writePart(options, {
    photos: split.heldOut,
    windows: heldOutWindows,
    firstNumber: first.nextNumber,
    means,
  });

  // Last, so that a data file is there only when all its pictures are.
  const trainFile = join(outDir, "train.jsonl");
  const heldOutFile = join(outDir, "heldout.jsonl");
  await writeFile(trainFile, first.lines.join(""));
  await writeFile(heldOutFile, second.lines.join(""));
  return {
    trainFile,
    heldOutFile,
    trainRows: first.lines.length,
    heldOutRows: second.lines.length,
    skipped: first.skipped + second.skipped,
  };
}

interface Part {
  readonly photos: readonly string[];
  readonly windows: number;
  /** Number of the first window; windows are numbered like KADID's reference pictures. */
  readonly firstNumber: number;
  readonly means: Means;
}

async function writePart(
  options: QuickstartSetOptions,
  part: Part,
): Promise<{ readonly lines: readonly string[]; readonly skipped: number; readonly nextNumber: number }> {
  const lines: string[] = [];
  let number = part.firstNumber;
  let skipped = 0;
  for (const photo of part.photos) {
    const image = await decodeImage(join(options.photosDir, photo));
    const group = parse(photo).name;
    const key = foldKey(options.seed, textKey(group));
    const { size = 56 } = options;
    const windows = cutWindows(image, { size, count: part.windows, key });
    if (windows.length < part.windows) {
      throw new DataError(
        "DATA_IMAGE_TOO_SMALL",
        `"${photo}" has ${image.width} x ${image.height} pixels: room for ${windows.length} windows of ${size} pixels that do not overlap, and ${part.windows} are asked for. Ask for fewer or smaller ones.`,
        { fields: { photo, size, windows: part.windows } },
      );
    }
    for (const window of windows) {
      const suitable = hasColour(window) ? distortions : distortions.filter((one) => one.needsColour !== true);
      skipped += (distortions.length - suitable.length) * LEVELS.length;
      const name = `I${String(number).padStart(2, "0")}`;
      const written = await Promise.all(
        suitable.flatMap((distortion) =>
          LEVELS.map((level) => writeRow(window, { distortion, level, name, group, key, options, means: part.means })),
        ),
      );
      lines.push(...written);
      number += 1;
    }
  }
  return { lines, skipped, nextNumber: number };
}

interface RowOptions {
  readonly distortion: Distortion;
  readonly level: number;
  /** "I07": the window. */
  readonly name: string;
  /** The photograph. */
  readonly group: string;
  readonly key: bigint;
  readonly options: QuickstartSetOptions;
  readonly means: Means;
}

/** Writes one degraded window; returns its line of the data file. */
async function writeRow(window: RgbImage, row: RowOptions): Promise<string> {
  const { distortion, level, name, group, key, options, means } = row;
  const { type } = distortion;
  const label = means.get(type);
  if (label === undefined) {
    throw new DataError("DATA_NO_SCORE", `${options.meansFile} has no scores for type "${type}" (${distortion.name}).`);
  }
  const { height, width, pixels } = await distort(window, {
    type,
    level,
    key: foldKey(key, textKey(name), Number(type), level),
  });
  const id = `${name}_${type}_${String(level).padStart(2, "0")}`;
  const image = `images/${id}.png`;
  await sharp(pixels, { raw: { height, width, channels: 3 } })
    .png()
    .toFile(join(options.outDir, image));
  return `${JSON.stringify({
    id,
    dataset_name: DATASET,
    image: [image],
    conversations: [
      { from: "human", value: options.question ?? QUESTION },
      { from: "gpt", value: label.mean[level - 1] },
    ],
    mos_std: label.std[level - 1],
    group,
    type,
    level,
  })}\n`;
}

function hasColour({ pixels }: RgbImage): boolean {
  let sum = 0;
  for (let at = 0; at < pixels.length; at += 3) {
    const [red, green, blue] = [pixels[at]!, pixels[at + 1]!, pixels[at + 2]!];
    sum += Math.max(red, green, blue) - Math.min(red, green, blue);
  }
  return sum / (pixels.length / 3) >= LEAST_COLOUR;
}

async function readJson<T>(file: string, schema: z.ZodType<T>): Promise<T> {
  try {
    return schema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new DataError("DATA_FILE_UNREADABLE", `${file} cannot be used: ${reason}`, {
      cause: error,
      fields: { file },
    });
  }
}
