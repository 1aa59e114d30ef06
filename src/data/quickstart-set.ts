/**
 * A small data set of degraded photographs in three parts: the bundled pictures, cut into windows, degraded in KADID's
 * ways, and labelled with KADID's mean scores by type and level.
 *
 * The scores are opinions of people, but of other pictures: good enough to see a training work, not to judge a metric by.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join, parse } from "node:path";
import sharp from "sharp";
import { z } from "zod";
import { DataError } from "../errors.js";
import { decodeImage } from "../images/index.js";
import { foldKey } from "../stats/index.js";
import { colourfulness } from "./colourfulness.js";
import { distort } from "./distortions/index.js";
import type { RgbImage } from "./distortions/index.js";
import { readJsonFile } from "./json-file.js";
import { readScoreTable } from "./score-table.js";
import type { ScoreTable } from "./score-table.js";
import { textKey } from "./text-key.js";
import { allVersions, createVersionDeck } from "./version-deck.js";
import type { Version } from "./version-deck.js";
import { cutWindows } from "./windows.js";

/**
 * Types that are left out: in a small window nobody can tell without the original that colours were moved, merged or taken
 * away (05, 06, 07), or that a patch is not where it was (20). Chosen on the validation photographs (docs/results.md).
 */
const UNSEEN_TYPES: readonly string[] = ["05", "06", "07", "20"];

/** Photographs never mix: each is in one part, with all its windows. */
export type QuickstartPart = "train" | "validation" | "test";

export interface QuickstartSetOptions {
  /** Photographs and their `split.json`: {"train": [file, ...], "validation": [file, ...], "test": [file, ...]}. */
  readonly photosDir: string;
  /** KADID's mean scores by type and level, as in assets/kadid/means.json. */
  readonly meansFile: string;
  /** Takes train.jsonl, validation.jsonl, test.jsonl and the folder images; made if need be, files of the same name are replaced. */
  readonly outDir: string;
  readonly seed: number;
  /** Side of a window in pixels. Default 56. */
  readonly size?: number;
  /** Windows per photograph. Default: train 4, validation 2, test 3. */
  readonly windows?: Partial<Readonly<Record<QuickstartPart, number>>>;
  /**
   * Versions of a window, of 105 (21 types by 5 levels), or "all" that suit it. They are dealt so that types and levels come
   * up equally often within a part. Default: train 40, validation 20, test 11.
   */
  readonly rowsPerWindow?: Partial<Readonly<Record<QuickstartPart, number | "all">>>;
  /** What the model is asked. Default: a question short enough for a small model. */
  readonly question?: string;
}

/** What was written of a part. */
export interface QuickstartFile {
  readonly file: string;
  readonly rows: number;
}

export type QuickstartSet = Readonly<Record<QuickstartPart, QuickstartFile>>;

const PARTS = ["train", "validation", "test"] as const;
const WINDOWS = { train: 4, validation: 2, test: 3 } as const;
const ROWS_PER_WINDOW = { train: 40, validation: 20, test: 11 } as const;
const QUESTION = "Rate the quality of this image from 1 to 5.";
const DATASET = "quickstart";
/** Below it a window counts as grey or sepia; a window has less colour than the photograph, and a small model sees less of it. */
const COLOURLESS_WINDOW = 32;

/** Types and levels that can be seen in this small window: no change of colour where there is none. */
export function visibleVersions(window: RgbImage): Version[] {
  const colourful = colourfulness(window) >= COLOURLESS_WINDOW;
  return allVersions.filter(
    ({ distortion }) => !UNSEEN_TYPES.includes(distortion.type) && (colourful || distortion.needsColour !== true),
  );
}

const photos = z.array(z.string()).min(1);
const splitSchema = z.object({ train: photos, validation: photos, test: photos });

/**
 * Writes pictures and data files. The same options give the same bytes; all windows of a photograph are in one file.
 *
 * @throws DataError when a photograph, the split or the means cannot be used
 */
export async function writeQuickstartSet(options: QuickstartSetOptions): Promise<QuickstartSet> {
  const { photosDir, outDir } = options;
  const split = await readJsonFile(join(photosDir, "split.json"), splitSchema);
  const table = await readScoreTable(options.meansFile);
  await mkdir(join(outDir, "images"), { recursive: true });

  const parts: { readonly part: QuickstartPart; readonly lines: readonly string[] }[] = [];
  let firstNumber = 1;
  for (const part of PARTS) {
    const written = await writePart(options, { part, photos: split[part], firstNumber, table });
    parts.push({ part, lines: written.lines });
    firstNumber = written.nextNumber;
  }
  // Last, so that a data file is there only when all its pictures are.
  const files = await Promise.all(
    parts.map(async ({ part, lines }) => {
      const file = join(outDir, `${part}.jsonl`);
      await writeFile(file, lines.join(""));
      return [part, { file, rows: lines.length }] as const;
    }),
  );
  return Object.fromEntries(files) as Record<QuickstartPart, QuickstartFile>;
}

interface PartContents {
  readonly part: QuickstartPart;
  readonly photos: readonly string[];
  /** Number of the first window; windows are numbered like KADID's reference pictures. */
  readonly firstNumber: number;
  readonly table: ScoreTable;
}

async function writePart(
  options: QuickstartSetOptions,
  { part, photos: files, firstNumber, table }: PartContents,
): Promise<{ readonly lines: readonly string[]; readonly nextNumber: number }> {
  const rows = options.rowsPerWindow?.[part] ?? ROWS_PER_WINDOW[part];
  const deck = createVersionDeck(foldKey(options.seed, textKey(part)));
  const lines: string[] = [];
  let number = firstNumber;
  for (const photo of files) {
    const group = parse(photo).name;
    const key = foldKey(options.seed, textKey(group));
    for (const window of await windowsOf(options, { part, photo, key })) {
      const visible = visibleVersions(window);
      const suits = (version: Version): boolean => visible.includes(version);
      const versions = rows === "all" ? visible : deck.deal({ count: rows, suits });
      const name = `I${String(number).padStart(2, "0")}`;
      const row = { name, group, key, options, table };
      lines.push(...(await Promise.all(versions.map((version) => writeRow(window, version, row)))));
      number += 1;
    }
  }
  return { lines, nextNumber: number };
}

async function windowsOf(
  { photosDir, size = 56, windows: counts }: QuickstartSetOptions,
  { part, photo, key }: { readonly part: QuickstartPart; readonly photo: string; readonly key: bigint },
): Promise<RgbImage[]> {
  const count = counts?.[part] ?? WINDOWS[part];
  const image = await decodeImage(join(photosDir, photo));
  const windows = cutWindows(image, { size, count, key });
  if (windows.length < count) {
    throw new DataError(
      "DATA_IMAGE_TOO_SMALL",
      `"${photo}" has ${image.width} x ${image.height} pixels: room for ${windows.length} windows of ${size} pixels that do not overlap, and ${count} are asked for. Ask for fewer or smaller ones.`,
      { fields: { photo, size, windows: count } },
    );
  }
  return windows;
}

interface RowOptions {
  /** "I07": the window. */
  readonly name: string;
  /** The photograph. */
  readonly group: string;
  readonly key: bigint;
  readonly options: QuickstartSetOptions;
  readonly table: ScoreTable;
}

/** Writes one degraded window; returns its line of the data file. */
async function writeRow(window: RgbImage, { distortion, level }: Version, row: RowOptions): Promise<string> {
  const { name, group, key, options, table } = row;
  const { type } = distortion;
  const { mean, std } = table.scoreOf({ type, level });
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
      { from: "gpt", value: mean },
    ],
    mos_std: std,
    group,
    type,
    level,
  })}\n`;
}
