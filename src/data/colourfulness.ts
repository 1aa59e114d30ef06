/**
 * How much colour a picture has to change.
 *
 * @module
 */
import type { RgbImage } from "./distortions/index.js";

/** @returns mean distance of the greatest from the smallest channel, 0 (grey) to 255; sepia has 10 to 30 */
export function colourfulness({ pixels }: RgbImage): number {
  let sum = 0;
  for (let at = 0; at < pixels.length; at += 3) {
    const [red, green, blue] = [pixels[at]!, pixels[at + 1]!, pixels[at + 2]!];
    sum += Math.max(red, green, blue) - Math.min(red, green, blue);
  }
  return sum / (pixels.length / 3);
}
