/**
 * Compression: KADID's type 10. The result depends on the version of the encoder, by little.
 *
 * @module
 */
import sharp from "sharp";
import { decodeImage } from "../../images/index.js";
import type { RgbImage } from "./image.js";

/** @param quality of the encoder, 1 to 100 */
export async function jpeg(image: RgbImage, quality: number): Promise<RgbImage> {
  const { height, width } = image;
  const file = await sharp(image.pixels, { raw: { height, width, channels: 3 } })
    .jpeg({ quality })
    .toBuffer();
  const { pixels } = await decodeImage(file);
  return { height, width, pixels };
}
