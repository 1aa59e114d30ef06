/**
 * As many different photographs as are asked for: windows of the bundled ones, each at a place of its own.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";

const PHOTOS = fileURLToPath(new URL("../../assets/photos/", import.meta.url));
/** Pixels that a window may be moved by in either direction. */
const ROOM = 128;

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** @returns the picture of a number as a JPEG file; numbers below 200,000 give different ones */
export async function freshPictures({ width, height }: PictureSize): Promise<(number: number) => Promise<Buffer>> {
  const names = readdirSync(PHOTOS, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".jpg"));
  const size = { width: width + ROOM, height: height + ROOM };
  const photos = names.toSorted().map((name) =>
    sharp(join(PHOTOS, name))
      .resize({ ...size, fit: "cover" })
      .removeAlpha()
      .toColourspace("srgb")
      .raw()
      .toBuffer(),
  );
  const pixels = await Promise.all(photos);
  return (number) => {
    const place = Math.floor(number / pixels.length);
    return sharp(pixels[number % pixels.length]!, { raw: { ...size, channels: 3 } })
      .extract({ left: place % ROOM, top: Math.floor(place / ROOM) % ROOM, width, height })
      .jpeg({ quality: 90 })
      .toBuffer();
  };
}
