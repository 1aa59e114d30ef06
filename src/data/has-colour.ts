/**
 * Whether a picture has colours to change.
 *
 * @module
 */
import type { RgbImage } from "./distortions/index.js";

/** Mean distance of the greatest from the smallest channel below which a picture counts as grey or sepia. */
const LEAST_COLOUR = 32;

/** @returns false for grey and sepia pictures, on which distortions of colour leave no trace */
export function hasColour({ pixels }: RgbImage): boolean {
  let sum = 0;
  for (let at = 0; at < pixels.length; at += 3) {
    const [red, green, blue] = [pixels[at]!, pixels[at + 1]!, pixels[at + 2]!];
    sum += Math.max(red, green, blue) - Math.min(red, green, blue);
  }
  return sum / (pixels.length / 3) >= LEAST_COLOUR;
}
