/**
 * How every photograph of this project is prepared: the bundled ones and those that only training reads.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import sharp from "sharp";

export const LONGEST_SIDE = 512;
export const JPEG_QUALITY = 90;

/** Upright, sRGB, at most 512 pixels on the longer side, without metadata. */
export async function writeScaledPhoto(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  await sharp(from)
    .autoOrient()
    .removeAlpha()
    .toColourspace("srgb")
    .resize({ width: LONGEST_SIDE, height: LONGEST_SIDE, fit: "inside", withoutEnlargement: true })
    .jpeg({ quality: JPEG_QUALITY })
    .toFile(to);
}
