/**
 * Pictures by path: described once, decoded as rarely as possible.
 *
 * A description is remembered for as long as the file does not change, so a picture whose pixels the worker still holds is
 * never decoded again. Pixels are kept only for the moment between describing and sending.
 *
 * @module
 */
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { DataError } from "../errors.js";
import { decodeImage } from "./decode.js";
import type { DecodedImage } from "./decode.js";
import { createGate } from "./gate.js";
import { createPixelCache } from "./pixel-cache.js";
import { smartResize } from "./smart-resize.js";

/** Path of a picture's file, or the bytes of such a file, which must not change while they are in use. */
export type PictureSource = string | Uint8Array;

/** What is known of a picture without its pixels. */
export interface ImageInfo {
  /** Hash and target size in one string: identifies what the model will see. */
  readonly key: string;
  /** SHA-256 of size and decoded pixels, in hex. */
  readonly hash: string;
  /** Source size in pixels, after EXIF orientation. */
  readonly height: number;
  readonly width: number;
  /** Size the model sees. */
  readonly targetHeight: number;
  readonly targetWidth: number;
  /** Whether EXIF orientation turned or mirrored the picture. */
  readonly exifRotated: boolean;
}

export interface ImageLoaderOptions {
  /** Sides of the target are multiples of patchSize x mergeSize. */
  readonly patchSize: number;
  readonly mergeSize: number;
  /** Limits of the target's area in pixels. */
  readonly minPixels: number;
  readonly maxPixels: number;
  /** Larger source pictures are refused. Default: 100 million pixels. */
  readonly maxInputPixels?: number;
  /** Pictures decoded at the same time. Default: number of cores. */
  readonly concurrency?: number;
  /** Decoded pixels kept, in bytes. Default: 256 MiB. */
  readonly cacheBytes?: number;
  /** Files whose descriptions are remembered, the last ones. Default: all. */
  readonly remembered?: number;
}

/** Counts since the loader was made. */
export interface ImageLoaderStats {
  readonly decoded: number;
  /** Answers that needed no decoding. */
  readonly remembered: number;
  /** Bytes of pixels held now. */
  readonly cachedBytes: number;
}

export interface ImageLoader {
  /** @throws DataError that names the file */
  describe(source: PictureSource): Promise<ImageInfo>;
  /** RGB of the picture as last described, row by row, at source size: height * width * 3 bytes. Not to be written to. */
  pixels(source: PictureSource): Promise<Uint8Array>;
  readonly stats: ImageLoaderStats;
}

const CACHE_BYTES = 256 * 1024 * 1024;

/** A file as it was when it was decoded; `version` changes when the file does. */
interface Known {
  readonly version: string;
  readonly info: Promise<ImageInfo>;
}

/** Pictures are found by path or come as bytes; two with the same content share a key. */
export function createImageLoader(options: ImageLoaderOptions): ImageLoader {
  const { remembered: limit = Infinity } = options;
  const gate = createGate(options.concurrency ?? availableParallelism());
  const cache = createPixelCache(options.cacheBytes ?? CACHE_BYTES);
  const files = new Map<string, Known>();
  const given = new WeakMap<Uint8Array, Known>();
  let decoded = 0;
  let remembered = 0;

  const recall = (source: PictureSource): Known | undefined =>
    typeof source === "string" ? files.get(source) : given.get(source);
  const remember = (source: PictureSource, known: Known): void => {
    if (typeof source !== "string") return void given.set(source, known);
    files.set(source, known);
    // A Map iterates in order of insertion: the first file is the one described longest ago.
    if (files.size > limit) files.delete(files.keys().next().value!);
  };
  const forget = (source: PictureSource): boolean =>
    typeof source === "string" ? files.delete(source) : given.delete(source);

  async function decode(source: PictureSource): Promise<DecodedImage> {
    decoded += 1;
    const { maxInputPixels } = options;
    const image = await gate(() => decodeImage(source, maxInputPixels === undefined ? {} : { maxInputPixels }));
    cache.put(image.hash, image.pixels);
    return image;
  }

  async function describe(source: PictureSource): Promise<ImageInfo> {
    const version = typeof source === "string" ? await versionOf(source) : "";
    const earlier = recall(source);
    if (earlier?.version === version) {
      remembered += 1;
      return earlier.info;
    }
    const info = decode(source).then((image) => infoOf(image, nameOf(source), options));
    remember(source, { version, info });
    // A failure is not remembered: the file may be repaired, and its error must not be an unhandled one.
    info.catch(() => forget(source));
    return info;
  }

  async function pixels(source: PictureSource): Promise<Uint8Array> {
    const { hash } = await (recall(source)?.info ?? describe(source));
    const held = cache.get(hash);
    if (held !== undefined) {
      remembered += 1;
      return held;
    }
    const image = await decode(source);
    if (image.hash !== hash) {
      forget(source);
      const name = nameOf(source);
      throw new DataError(
        "DATA_IMAGE_CHANGED",
        `${name} shows something else than when it was described. Pictures must stay as they are during a run.`,
        { fields: { name } },
      );
    }
    return image.pixels;
  }

  return {
    describe,
    pixels,
    get stats() {
      return { decoded, remembered, cachedBytes: cache.bytes };
    },
  };
}

/** How errors call a picture. */
function nameOf(source: PictureSource): string {
  return typeof source === "string" ? `"${source}"` : "the picture";
}

async function versionOf(path: string): Promise<string> {
  try {
    const { mtimeMs, size } = await stat(path);
    return `${mtimeMs}:${size}`;
  } catch (error) {
    throw new DataError(
      "DATA_IMAGE_MISSING",
      `"${path}" is not there. Pictures must stay where they are while they are in use.`,
      {
        cause: error,
        fields: { path },
      },
    );
  }
}

function infoOf(image: DecodedImage, name: string, options: ImageLoaderOptions): ImageInfo {
  const { hash, height, width, exifRotated } = image;
  const { minPixels, maxPixels } = options;
  const factor = options.patchSize * options.mergeSize;
  const target = naming(name, () => smartResize({ height, width, factor, minPixels, maxPixels }));
  if (target.height === 0 || target.width === 0) {
    throw new DataError(
      "DATA_IMAGE_TOO_SMALL",
      `${name} has ${width} x ${height} pixels, which leaves nothing of it in steps of ${factor}. Raise min_pixels (${minPixels}) to ${factor * factor} or more.`,
      { fields: { name, height, width } },
    );
  }
  return {
    key: `${hash}-${target.width}x${target.height}`,
    hash,
    height,
    width,
    targetHeight: target.height,
    targetWidth: target.width,
    exifRotated,
  };
}

function naming<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(error.code, `${name}: ${error.message}`, { cause: error, fields: { ...error.fields, name } });
  }
}
