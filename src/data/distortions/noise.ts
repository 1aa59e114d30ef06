/**
 * Noise: KADID's types 11 to 14. Every channel of every pixel has its own draw.
 *
 * Source of the YCbCr matrix: ITU-R BT.601, as in MATLAB's ycbcr2rgb.
 *
 * @module
 */
import { mapBytes, mapPixels } from "./image.js";
import type { RgbImage } from "./image.js";
import type { RandomStream } from "./random-stream.js";

/** @param variance of the added normal noise, on the scale 0..1 */
export function whiteNoise(image: RgbImage, variance: number, random: RandomStream): RgbImage {
  const deviation = 255 * Math.sqrt(variance);
  return mapBytes(image, (value) => value + deviation * random.normal());
}

/**
 * Normal noise on brightness and both colour differences of YCbCr. The way back to RGB is linear, so the noise can be
 * carried over by itself.
 *
 * @param variance of the noise of each component, on the scale 0..1
 */
export function colourNoise(image: RgbImage, variance: number, random: RandomStream): RgbImage {
  const deviation = 255 * Math.sqrt(variance);
  return mapPixels(image, (red, green, blue) => {
    const luma = 1.164 * deviation * random.normal();
    const towardsBlue = deviation * random.normal();
    const towardsRed = deviation * random.normal();
    return [
      red + luma + 1.596 * towardsRed,
      green + luma - 0.392 * towardsBlue - 0.813 * towardsRed,
      blue + luma + 2.017 * towardsBlue,
    ];
  });
}

/** @param density share of the values that become 0 or 255, half of them each */
export function impulseNoise(image: RgbImage, density: number, random: RandomStream): RgbImage {
  return mapBytes(image, (value) => {
    const draw = random.uniform();
    if (draw >= density) return value;
    return draw < density / 2 ? 0 : 255;
  });
}

/** @param variance of the uniform noise each value is multiplied with, around 1 */
export function multiplicativeNoise(image: RgbImage, variance: number, random: RandomStream): RgbImage {
  const width = Math.sqrt(12 * variance);
  return mapBytes(image, (value) => value * (1 + width * (random.uniform() - 0.5)));
}
