/**
 * The size of a picture from its header alone: for plans, before anything is decoded.
 *
 * @module
 */
import sharp from "sharp";
import { DataError } from "../errors.js";
import type { ImageSize } from "./smart-resize.js";

/**
 * @param file path of a picture
 * @returns pixels after the EXIF orientation was applied
 * @throws DataError DATA_IMAGE_BROKEN, also for a file that is not there
 */
export async function readImageSize(file: string): Promise<ImageSize> {
  try {
    const { autoOrient } = await sharp(file, { limitInputPixels: false }).metadata();
    return { height: autoOrient.height, width: autoOrient.width };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError("DATA_IMAGE_BROKEN", `"${file}" cannot be read as a picture: ${reason}.`, {
      cause,
      fields: { name: file },
    });
  }
}
