/**
 * Noise: KADID's types 11, 13 and 14. Every channel of every pixel has its own draw.
 *
 * @module
 */
import { mapBytes } from "./image.js";
import type { RgbImage } from "./image.js";
import type { RandomStream } from "./random-stream.js";

/** @param variance of the added normal noise, on the scale 0..1 */
export function whiteNoise(image: RgbImage, variance: number, random: RandomStream): RgbImage {
  const deviation = 255 * Math.sqrt(variance);
  return mapBytes(image, (value) => value + deviation * random.normal());
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
