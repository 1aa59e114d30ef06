/**
 * Small copies of the run's pictures for people to look at: `images/<key>.webp`, written once each.
 *
 * @module
 */

import { access, mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { RunError } from "../errors.js";
import { isFileError, writing } from "./failures.js";

/** Decoded pixels, uint8 [height, width, 3]. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Longest side of a stored picture, in pixels. */
const LONGEST_SIDE = 512;

/** Keys become file names. */
const KEY = /^[A-Za-z0-9_-]{1,128}$/;

export interface PictureStore {
  /** Writes the picture unless it is there. */
  add(key: string, pixels: Pixels): Promise<void>;
  /** Waits for all pictures that were added. */
  settle(): Promise<void>;
}

export function openPictures(folder: string): PictureStore {
  const pending = new Map<string, Promise<void>>();
  return {
    add(key, pixels) {
      if (!KEY.test(key)) {
        throw new RunError(
          "RUN_RECORD_INVALID",
          `"${key}" cannot name a picture: 1 to 128 of A-Z a-z 0-9 _ - are allowed.`,
        );
      }
      const known = pending.get(key);
      if (known !== undefined) return known;
      const path = join(folder, `${key}.webp`);
      const added = writing("write", path, () => write(path, pixels));
      pending.set(key, added);
      return added;
    },
    async settle() {
      await Promise.allSettled(pending.values());
    },
  };
}

async function write(path: string, { data, width, height }: Pixels): Promise<void> {
  if (await exists(path)) return;
  await mkdir(join(path, ".."), { recursive: true });
  const { default: sharp } = await import("sharp");
  await sharp(data, { raw: { width, height, channels: 3 } })
    .resize({ width: LONGEST_SIDE, height: LONGEST_SIDE, fit: "inside", withoutEnlargement: true })
    .webp({ quality: 80 })
    .toFile(`${path}.partial`);
  await rename(`${path}.partial`, path);
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isFileError(error) && error.code === "ENOENT") return false;
    throw error;
  }
}
