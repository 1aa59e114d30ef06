/**
 * One photograph in all ways to degrade it, on one picture with captions.
 *
 * @module
 */
import sharp from "sharp";
import type { OverlayOptions } from "sharp";
import { foldKey } from "../stats/index.js";
import { distort } from "./distortions/index.js";
import type { RgbImage } from "./distortions/index.js";
import { chooseKinds, readPhoto } from "./degraded-set.js";
import { textKey } from "./text-key.js";
import { detailedWindow } from "./windows.js";

export interface ContactSheetOptions {
  readonly photo: string;
  /** A PNG file. */
  readonly file: string;
  readonly seed: number;
  /** KADID's numbers. Default: all. */
  readonly types?: readonly string[];
  /** Default: 1 to 5. */
  readonly levels?: readonly number[];
  /** As for a set: the whole photograph is degraded, a detail of it is shown. */
  readonly longestSide?: number;
}

/** Pixels: side of what is shown, the gap, height of the captions of levels, width of those of types. */
const CELL = 64;
const GAP = 2;
const HEAD = 16;
const SIDE = 104;

/**
 * Types stand in two halves beside each other, one per row; levels in columns behind the untouched detail.
 *
 * @throws DataError DATA_UNKNOWN_DISTORTION
 */
export async function writeContactSheet(options: ContactSheetOptions): Promise<void> {
  const { seed } = options;
  const { types, levels } = chooseKinds(options);
  const photo = await readPhoto(options.photo, options.longestSide);
  const rows = Math.ceil(types.length / 2);
  const place = detailedWindow(photo, Math.min(CELL, photo.height, photo.width));
  const half = SIDE + (levels.length + 1) * (CELL + GAP);
  const tiles: OverlayOptions[] = [];
  const captions: string[] = [];
  const columns = types.length > rows ? [0, half] : [0];
  for (const left of columns) {
    for (const [index, text] of ["none", ...levels].entries()) {
      captions.push(caption(String(text), left + SIDE + index * (CELL + GAP) + CELL / 2, HEAD - 4, "middle"));
    }
  }
  for (const [index, { type, name }] of types.entries()) {
    const left = index < rows ? 0 : half;
    const top = HEAD + (index % rows) * (CELL + GAP);
    captions.push(
      ...captionLines(`${type} ${name}`).map((text, line) => caption(text, left + 4, top + 16 + 13 * line)),
    );
    const versions = await Promise.all(
      levels.map((level) =>
        distort(photo, { type, level, key: foldKey(seed, textKey(photo.hash), Number(type), level) }),
      ),
    );
    for (const [column, version] of [photo, ...versions].entries()) {
      tiles.push({ ...(await tile(version, place)), left: left + SIDE + column * (CELL + GAP), top });
    }
  }
  const size = { width: half * columns.length, height: HEAD + rows * (CELL + GAP) };
  const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" font-family="sans-serif" font-size="11">${captions.join("")}</svg>`;
  await sharp({ create: { ...size, channels: 3, background: "white" } })
    .composite([...tiles, { input: Buffer.from(text), left: 0, top: 0 }])
    .png({ palette: true, compressionLevel: 9 })
    .toFile(options.file);
}

async function tile(
  { height, width, pixels }: RgbImage,
  { top, left, size }: { readonly top: number; readonly left: number; readonly size: number },
): Promise<Pick<OverlayOptions, "input" | "raw">> {
  const { data, info } = await sharp(pixels, { raw: { height, width, channels: 3 } })
    .extract({ left, top, width: size, height: size })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { input: data, raw: { height: info.height, width: info.width, channels: 3 } };
}

function caption(text: string, x: number, y: number, anchor = "start"): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;
}

/** Breaks between words; a line has room for some 16 letters. */
function captionLines(text: string): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    if (last !== "" && last.length + word.length > 15) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines;
}
