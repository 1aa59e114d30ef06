/**
 * Picture files to RGB bytes.
 *
 * sharp decodes and does nothing else: resizing belongs to the worker. What comes out equals Pillow's
 * `Image.open(...).convert("RGB")` byte for byte for 8-bit and 16-bit RGB, grey, palette, alpha (dropped, not blended)
 * and sRGB profiles, with three differences. EXIF orientation is applied, once. 16-bit grey is scaled to 8 bits, where
 * Pillow clips it. Other colour profiles are converted to sRGB, where Pillow ignores them. CMYK is refused, because every
 * program turns it into other colours.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import sharp from "sharp";
import type { Metadata } from "sharp";
import { DataError } from "../errors.js";

// One thread per picture and one picture per core is never slower than the other way round.
sharp.concurrency(1);
// Every picture is decoded once, so a cache of operations only costs memory.
sharp.cache(false);

export interface DecodedImage {
  /** Pixels, after the orientation was applied. */
  readonly height: number;
  readonly width: number;
  /** RGB, row by row: height * width * 3 bytes. */
  readonly pixels: Uint8Array;
  /** Whether the file's EXIF orientation turned or mirrored the picture. */
  readonly exifRotated: boolean;
  /** SHA-256 of the size and the pixels, in hex: two files that show the same have the same hash. */
  readonly hash: string;
}

export interface DecodeOptions {
  /** Larger pictures are refused before they take up memory. Default: 100 million pixels. */
  readonly maxInputPixels?: number;
  /** How errors call the picture. Default: its path, or "the picture". */
  readonly name?: string;
}

const MAX_INPUT_PIXELS = 100_000_000;

/** Files of pixels; SVG and PDF, which sharp could draw too, are programs rather than pictures. */
const FORMATS: readonly string[] = ["jpeg", "png", "webp", "gif", "tiff", "heif"];

/**
 * @param input path of a file, or the file's bytes
 * @throws DataError DATA_IMAGE_MISSING, DATA_IMAGE_BROKEN, DATA_IMAGE_UNSUPPORTED or DATA_IMAGE_TOO_LARGE
 */
export async function decodeImage(input: string | Uint8Array, options: DecodeOptions = {}): Promise<DecodedImage> {
  const { maxInputPixels = MAX_INPUT_PIXELS } = options;
  const name = options.name ?? (typeof input === "string" ? `"${input}"` : "the picture");
  const bytes = typeof input === "string" ? await readPicture(input, name) : input;
  if (bytes.byteLength === 0) throw broken(name, "it is empty");
  refuseHeic(bytes, name);

  // The limit is checked below, against the size the header claims, for a message that states both numbers.
  const image = sharp(bytes, { failOn: "error", limitInputPixels: false });
  const header = await image.metadata().catch((error: unknown) => {
    throw broken(name, reasonOf(error), error);
  });
  refuseUnsupported(header, name);
  if (header.width * header.height > maxInputPixels) {
    throw new DataError(
      "DATA_IMAGE_TOO_LARGE",
      `${name} has ${header.width} x ${header.height} pixels, and at most ${maxInputPixels} are taken. Make it smaller, or raise the limit.`,
      { fields: { name, width: header.width, height: header.height, maxInputPixels } },
    );
  }

  const { data, info } = await image
    .autoOrient()
    .removeAlpha()
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => {
      throw broken(name, reasonOf(error), error);
    });
  if (info.channels !== 3) throw broken(name, `it decodes to ${info.channels} channels instead of 3`);
  const { height, width } = info;
  const exifRotated = (header.orientation ?? 1) > 1;
  return { height, width, pixels: data, exifRotated, hash: await hashPixels({ height, width, pixels: data }) };
}

/** SHA-256 over height and width (32-bit little-endian) and the pixels, in hex. Computed off the main thread. */
export async function hashPixels(image: Pick<DecodedImage, "height" | "width" | "pixels">): Promise<string> {
  const message = Buffer.allocUnsafe(8 + image.pixels.byteLength);
  message.writeUInt32LE(image.height, 0);
  message.writeUInt32LE(image.width, 4);
  message.set(image.pixels, 8);
  return Buffer.from(await crypto.subtle.digest("SHA-256", message)).toString("hex");
}

async function readPicture(path: string, name: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new DataError(
      "DATA_IMAGE_MISSING",
      `${name} cannot be read: ${reasonOf(error)}. It must stay where it is while a run uses it.`,
      { cause: error, fields: { name } },
    );
  }
}

/** Brands of the HEIF files that hold HEVC, which is patented, so that the decoder's build leaves it out. */
const HEVC_BRANDS: readonly string[] = ["heic", "heix", "heim", "heis", "hevc", "hevx"];

/** Told from the first box of the file, because what the decoder makes of such a file differs from build to build. */
function refuseHeic(bytes: Uint8Array, name: string): void {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 256));
  if (start.length < 16 || start.toString("latin1", 4, 8) !== "ftyp") return;
  const brands = start.toString("latin1", 8, Math.min(start.readUInt32BE(0), start.length));
  if (!HEVC_BRANDS.some((brand) => brands.includes(brand))) return;
  throw new DataError(
    "DATA_IMAGE_UNSUPPORTED",
    `${name} is HEIC; pictures must be JPEG, PNG, WebP, GIF, TIFF or AVIF. Convert it.`,
    { fields: { name, format: "heic" } },
  );
}

function refuseUnsupported(header: Metadata, name: string): void {
  if (!FORMATS.includes(header.format)) {
    throw new DataError(
      "DATA_IMAGE_UNSUPPORTED",
      `${name} is ${header.format}; pictures must be JPEG, PNG, WebP, GIF, TIFF or AVIF. Convert it.`,
      { fields: { name, format: header.format } },
    );
  }
  if (header.space === "cmyk") {
    throw new DataError(
      "DATA_IMAGE_UNSUPPORTED",
      `${name} has CMYK colours, which every program turns into other RGB colours. Convert it to sRGB.`,
      { fields: { name, format: header.format } },
    );
  }
}

function broken(name: string, reason: string, cause?: unknown): DataError {
  return new DataError(
    "DATA_IMAGE_BROKEN",
    `${name} cannot be decoded: ${reason}. Replace the file, or leave it out.`,
    {
      ...(cause !== undefined && { cause }),
      fields: { name },
    },
  );
}

/** First line of an error; what follows repeats it. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split("\n")[0]!.trim();
}
