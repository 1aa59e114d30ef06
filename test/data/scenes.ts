/**
 * Pictures that distortions are tried on, and what is measured of them.
 *
 * @module
 */
import { distort, type RgbImage } from "../../src/data/index.js";

/** Names the draws. */
export const KEY = 0x1234_5678_9abc_def0n;
/** Of every distortion. */
export const LEVELS = [1, 2, 3, 4, 5];

/** A picture by a function of its places. */
export function makeImage(
  pixel: (x: number, y: number) => readonly [number, number, number],
  height = 40,
  width = 48,
): RgbImage {
  const pixels = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) pixels.set(pixel(x, y), (y * width + x) * 3);
  }
  return { height, width, pixels };
}

/** Colours, gradients and edges. */
export const scene = makeImage((x, y) => [
  60 + 3 * x,
  Math.floor(y / 8) % 2 === 0 ? 200 - 2 * y : 40 + y,
  30 + 2 * x + 2 * y,
]);
/** One grey. */
export const flat = (value: number) => makeImage(() => [value, value, value]);
/** The distortion under the key of these tests. */
export const apply = (image: RgbImage, type: string, level: number, key = KEY) => distort(image, { type, level, key });
/** The three values of a pixel. */
export const at = ({ pixels, width }: RgbImage, x: number, y: number) => [
  ...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];
/** Arithmetic mean. */
export const meanOf = (values: ArrayLike<number>) =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

/** Mean over all values. */
export function squaredError(a: RgbImage, b: RgbImage): number {
  return meanOf(Array.from(a.pixels, (value, index) => (value - b.pixels[index]!) ** 2));
}
