/**
 * Photographs degraded in KADID's ways, in KADID's layout: images/I01.png, images/I01_02_03.png, dmos.csv.
 *
 * The scores are KADID's means by type and level. Nobody judged these pictures, and the set says so in a file of its own.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import sharp from "sharp";
import { DataError } from "../errors.js";
import { decodeImage } from "../images/index.js";
import { foldKey } from "../stats/index.js";
import { colourfulness } from "./colourfulness.js";
import { degradedSetCard } from "./degraded-set-card.js";
import { distort, distortions } from "./distortions/index.js";
import type { Distortion, RgbImage } from "./distortions/index.js";
import { writeFolder } from "./output-folder.js";
import { DATASET_FILE, formatDataset, formatKadid } from "./presets/kadid.js";
import type { KadidScore } from "./presets/kadid.js";
import { dataError } from "./problems.js";
import type { DataProblem } from "./problems.js";
import { readScoreTable } from "./score-table.js";
import type { ScoreTable } from "./score-table.js";
import { simulateRaters } from "./simulated-raters.js";
import { textKey } from "./text-key.js";

export interface DegradedSetOptions {
  /** Files; each becomes one reference, I01 the first. */
  readonly photos: readonly string[];
  /** Takes images/, dmos.csv, dataset.json and README.md. It appears when all of them are written. */
  readonly outDir: string;
  /** KADID's mean scores by type and level, as in assets/kadid/means.json. */
  readonly meansFile: string;
  readonly seed: number;
  /** KADID's numbers, "01" to "25". Default: all. */
  readonly types?: readonly string[];
  /** Default: 1 to 5. */
  readonly levels?: readonly number[];
  /** Simulated opinions per picture, at least 2. Default: none; the score is KADID's mean. */
  readonly raters?: number;
  /** Photographs are reduced to this many pixels on the longer side first. Default: they keep their size. */
  readonly longestSide?: number;
  /** Replace a set that is there. Default false. */
  readonly overwrite?: boolean;
  /** Called after each photograph. */
  readonly onPhoto?: (done: number) => void;
}

/** A photograph in the set. */
export interface DegradedReference {
  /** "I01". */
  readonly reference: string;
  /** Name of its file. */
  readonly photo: string;
  /** Types left out because the photograph has no colours to change. */
  readonly skipped: readonly string[];
}

export interface DegradedSet {
  readonly outDir: string;
  /** The list of scores: a data file. */
  readonly dataFile: string;
  readonly references: readonly DegradedReference[];
  /** Degraded pictures, which are the list's rows. */
  readonly pictures: number;
}

const CARD = "README.md";
const LIST = "dmos.csv";
const IMAGES = "images";
/** Name of such a set's rows: the scores are KADID-10k's, the pictures are not. */
export const DEGRADED_DATASET = "KADID-10k-transferred";
/** Below it a whole photograph counts as grey: distortions of colour leave no trace on it. */
const COLOURLESS_PHOTO = 8;
const LEVELS = [1, 2, 3, 4, 5] as const;

/**
 * @throws DataError that lists every photograph that cannot be read or is there twice; DATA_UNKNOWN_DISTORTION;
 *   DATA_FOLDER_NOT_EMPTY
 */
export async function writeDegradedSet(options: DegradedSetOptions): Promise<DegradedSet> {
  const { outDir, photos, overwrite = false } = options;
  const kinds = chooseKinds(options);
  checkRaters(options.raters);
  const table = await readScoreTable(options.meansFile);
  return writeFolder({ folder: outDir, overwrite, entries: [CARD, LIST, DATASET_FILE, IMAGES] }, async (folder) => {
    await checkPhotos(photos);
    await mkdir(join(folder, IMAGES));
    const references: DegradedReference[] = [];
    const scores: KadidScore[] = [];
    for (const [index, photo] of photos.entries()) {
      const reference = `I${String(index + 1).padStart(2, "0")}`;
      const image = await readPhoto(photo, options.longestSide);
      const suitable =
        colourfulness(image) >= COLOURLESS_PHOTO ? kinds.types : kinds.types.filter((one) => one.needsColour !== true);
      await writePng(image, join(folder, IMAGES, `${reference}.png`));
      scores.push(
        ...(await degrade(image, {
          ...kinds,
          types: suitable,
          reference,
          folder: join(folder, IMAGES),
          options,
          table,
        })),
      );
      const skipped = kinds.types.filter((one) => !suitable.includes(one)).map(({ type }) => type);
      references.push({ reference, photo: basename(photo), skipped });
      options.onPhoto?.(index + 1);
    }
    await writeFile(join(folder, LIST), formatKadid(scores));
    await writeFile(join(folder, DATASET_FILE), formatDataset(DEGRADED_DATASET));
    await writeFile(join(folder, CARD), degradedSetCard({ ...options, references, pictures: scores.length }));
    return { outDir, dataFile: join(outDir, LIST), references, pictures: scores.length };
  });
}

/** Distortions and levels. */
export interface Kinds {
  readonly types: readonly Distortion[];
  readonly levels: readonly number[];
}

/**
 * The distortions that are asked for, in KADID's order.
 *
 * @throws DataError DATA_UNKNOWN_DISTORTION
 */
export function chooseKinds({ types, levels = LEVELS }: Pick<DegradedSetOptions, "types" | "levels">): Kinds {
  const known = distortions.map(({ type }) => type);
  const unknown = types?.find((type) => !known.includes(type));
  const wrong = levels.find((level) => !LEVELS.includes(level as 1));
  if (unknown !== undefined || wrong !== undefined) {
    const what = unknown === undefined ? `no level ${wrong}` : `no distortion of type "${unknown}"`;
    throw new DataError("DATA_UNKNOWN_DISTORTION", `There is ${what}. Types are ${known.join(", ")}, levels 1 to 5.`, {
      fields: { type: unknown, level: wrong },
    });
  }
  return {
    types: distortions.filter(({ type }) => types?.includes(type) ?? true),
    levels: LEVELS.filter((level) => levels.includes(level)),
  };
}

function checkRaters(raters: number | undefined): void {
  if (raters === undefined || (Number.isInteger(raters) && raters >= 2)) return;
  throw new DataError("DATA_RATERS", `${raters} raters are asked for; a deviation takes a whole number of at least 2.`);
}

/** Before anything is written: every photograph that cannot be used, at once. */
async function checkPhotos(photos: readonly string[]): Promise<void> {
  if (photos.length === 0) throw new DataError("DATA_NO_FILES", "There is no photograph to degrade.");
  const problems: DataProblem[] = [];
  const fileOfHash = new Map<string, string>();
  for (const file of photos) {
    const report = (code: string, message: string): void => void problems.push({ code, file, line: null, message });
    try {
      const { hash } = await decodeImage(file, { name: "the photograph" });
      const earlier = fileOfHash.get(hash);
      if (earlier !== undefined) report("DATA_DUPLICATE_PHOTO", `shows the same as ${earlier}. Leave one of them out.`);
      fileOfHash.set(hash, file);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      report(error.code, error.message);
    }
  }
  if (problems.length > 0) throw dataError(problems);
}

interface Photo extends RgbImage {
  /** Of the file's pixels: names the draws, so that they depend neither on names nor on order. */
  readonly hash: string;
}

/** @param longestSide undefined keeps the size */
export async function readPhoto(file: string, longestSide: number | undefined): Promise<Photo> {
  const { height, width, pixels, hash } = await decodeImage(file);
  if (longestSide === undefined) return { height, width, pixels, hash };
  const { data, info } = await sharp(pixels, { raw: { height, width, channels: 3 } })
    .resize({ width: longestSide, height: longestSide, fit: "inside", withoutEnlargement: true })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { height: info.height, width: info.width, pixels: data, hash };
}

interface DegradeOptions extends Kinds {
  readonly reference: string;
  readonly folder: string;
  readonly options: DegradedSetOptions;
  readonly table: ScoreTable;
}

async function degrade(image: Photo, context: DegradeOptions): Promise<KadidScore[]> {
  const { types, levels, reference, folder, options, table } = context;
  const { hash } = image;
  const scores: KadidScore[] = [];
  for (const { type } of types) {
    const ofType = await Promise.all(
      levels.map(async (level): Promise<KadidScore> => {
        const picture = `${reference}_${type}_${String(level).padStart(2, "0")}.png`;
        const key = foldKey(options.seed, textKey(hash), Number(type), level);
        await writePng(await distort(image, { type, level, key }), join(folder, picture));
        const score = table.scoreOf({ type, level });
        const { mean, deviation } =
          options.raters === undefined
            ? { mean: score.mean, deviation: score.raterStd }
            : simulateRaters(score, { raters: options.raters, key: foldKey(key, textKey("raters")) });
        return { picture, reference: `${reference}.png`, mean: rounded(mean), deviation: rounded(deviation) };
      }),
    );
    scores.push(...ofType);
  }
  return scores;
}

function rounded(value: number): number {
  return Number(value.toFixed(4));
}

async function writePng({ height, width, pixels }: RgbImage, file: string): Promise<void> {
  await sharp(pixels, { raw: { height, width, channels: 3 } })
    .png()
    .toFile(file);
}
