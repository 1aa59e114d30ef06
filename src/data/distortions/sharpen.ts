/**
 * Edges made too strong: KADID's type 24.
 *
 * @module
 */
import { gaussian } from "./convolve.js";
import { toByte } from "./image.js";
import type { RgbImage } from "./image.js";
import { labToRgb, rgbToLab } from "./lab.js";

/** Standard deviation of the blur, in pixels. */
const SIGMA = 3;

/**
 * Unsharp masking of L* of L*a*b*, as in MATLAB's imsharpen.
 *
 * @param amount factor of the difference from the blurred picture that is added
 */
export function sharpen(image: RgbImage, amount: number): RgbImage {
  const { height, width, pixels } = image;
  const labs = Array.from({ length: height * width }, (_, pixel) =>
    rgbToLab(pixels[pixel * 3]!, pixels[pixel * 3 + 1]!, pixels[pixel * 3 + 2]!),
  );
  const values = Float64Array.from(labs, ([lightness]) => lightness);
  const blurred = gaussian({ height, width, channels: 1, values }, SIGMA, 2 * SIGMA).values;
  const result = new Uint8Array(pixels.length);
  for (const [pixel, [lightness, a, b]] of labs.entries()) {
    const sharp = lightness + amount * (lightness - blurred[pixel]!);
    const rgb = labToRgb([Math.min(100, Math.max(0, sharp)), a, b]);
    for (const [channel, value] of rgb.entries()) result[pixel * 3 + channel] = toByte(value);
  }
  return { ...image, pixels: result };
}
