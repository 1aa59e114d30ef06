/**
 * The best and the worst of rated pictures, on one picture with captions.
 *
 * @module
 */
import { basename } from "node:path";
import sharp from "sharp";
import type { OverlayOptions } from "sharp";

/** A picture with its score. */
export interface RatedPicture {
  readonly path: string;
  readonly score: number;
}

export interface RatingSheetOptions {
  /** Ordered, the best first. */
  readonly pictures: readonly RatedPicture[];
  /** A PNG file. */
  readonly file: string;
  /** Pictures of each kind at most. Default 8. */
  readonly count?: number;
}

/** Pixels: side of a picture's place, the gap, height of captions. */
const CELL = 160;
const GAP = 8;
const CAPTION = 34;
const HEAD = 24;

/** Letters that fit under a picture. */
const LETTERS = 24;

/** The best stand above, the worst below, the worst of all last; no picture stands in both. */
export async function writeRatingSheet({ pictures, file, count = 8 }: RatingSheetOptions): Promise<void> {
  const best = pictures.slice(0, Math.min(count, Math.ceil(pictures.length / 2)));
  const worst = pictures.slice(Math.max(best.length, pictures.length - count));
  const row = HEAD + CELL + CAPTION;
  const size = { width: GAP + best.length * (CELL + GAP), height: 2 * row };
  const tiles: OverlayOptions[] = [];
  const captions: string[] = [];
  for (const [index, { title, shown }] of [
    { title: "best", shown: best },
    { title: "worst", shown: worst },
  ].entries()) {
    const top = index * row;
    if (shown.length > 0) captions.push(`<text x="${GAP}" y="${top + 17}" font-weight="bold">${title}</text>`);
    for (const [column, { path, score }] of shown.entries()) {
      const left = GAP + column * (CELL + GAP);
      tiles.push({ input: await tile(path), left, top: top + HEAD });
      captions.push(
        `<text x="${left}" y="${top + HEAD + CELL + 14}">${score.toFixed(3)}</text>`,
        `<text x="${left}" y="${top + HEAD + CELL + 28}">${escaped(shortened(basename(path)))}</text>`,
      );
    }
  }
  const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" font-family="sans-serif" font-size="12">${captions.join("")}</svg>`;
  await sharp({ create: { ...size, channels: 3, background: "white" } })
    .composite([...tiles, { input: Buffer.from(text), left: 0, top: 0 }])
    .png({ compressionLevel: 9 })
    .toFile(file);
}

/** The whole picture in its place, small ones as they are; transparency is left out, as where it is rated. */
function tile(path: string): Promise<Buffer> {
  return sharp(path, { limitInputPixels: false })
    .autoOrient()
    .removeAlpha()
    .resize(CELL, CELL, { fit: "contain", background: "white", withoutEnlargement: true })
    .toColourspace("srgb")
    .png({ compressionLevel: 1 })
    .toBuffer();
}

function shortened(name: string): string {
  const letters = Array.from(new Intl.Segmenter().segment(name), ({ segment }) => segment);
  return letters.length <= LETTERS ? name : `${letters.slice(0, LETTERS - 1).join("")}…`;
}

/** For XML, which also has no place for control characters. */
function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
  return text.replaceAll(/\p{Cc}/gu, " ").replaceAll(/[&<>]/g, (letter) => names[letter]!);
}
