/**
 * Blurs: KADID's types 01 and 03. Beyond the border the outermost pixels are repeated.
 *
 * @module
 */
import { toByte } from "./image.js";
import type { RgbImage } from "./image.js";
import type { RandomStream } from "./random-stream.js";

/** One weight of a kernel and where it looks, in pixels from the pixel being made. */
interface Tap {
  readonly dx: number;
  readonly dy: number;
  readonly weight: number;
}

/** @param sigma standard deviation in pixels */
export function gaussianBlur(image: RgbImage, sigma: number): RgbImage {
  const radius = Math.ceil(4 * sigma);
  const offsets = Array.from({ length: 2 * radius + 1 }, (_, index) => index - radius);
  const weights = offsets.map((offset) => Math.exp(-(offset * offset) / (2 * sigma * sigma)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const line = offsets.map((offset, index) => ({ offset, weight: weights[index]! / total }));

  const across = convolve(
    { ...image, values: Float64Array.from(image.pixels) },
    line.map(({ offset, weight }) => ({ dx: offset, dy: 0, weight })),
  );
  const both = convolve(
    { ...image, values: across },
    line.map(({ offset, weight }) => ({ dx: 0, dy: offset, weight })),
  );
  return { ...image, pixels: Uint8Array.from(both, toByte) };
}

/**
 * Moves along a straight line in a random direction.
 *
 * @param length of the line in pixels; 1 changes nothing
 */
export function motionBlur(image: RgbImage, length: number, random: RandomStream): RgbImage {
  const angle = random.uniform() * Math.PI;
  const taps = lineTaps(length, angle);
  const values = convolve({ ...image, values: Float64Array.from(image.pixels) }, taps);
  return { ...image, pixels: Uint8Array.from(values, toByte) };
}

/** A pixel weighs the more the nearer it is to the line, as in MATLAB's fspecial("motion"). */
function lineTaps(length: number, angle: number): Tap[] {
  const half = (length - 1) / 2;
  const radius = Math.ceil(half);
  const [x, y] = [Math.cos(angle), Math.sin(angle)];
  const taps: Tap[] = [];
  for (let dy = -radius; dy <= radius; dy += 1) {
    for (let dx = -radius; dx <= radius; dx += 1) {
      const along = dx * x + dy * y;
      const aside = dx * y - dy * x;
      const beyond = Math.max(0, Math.abs(along) - half);
      const weight = Math.max(0, 1 - Math.hypot(aside, beyond));
      if (weight > 0) taps.push({ dx, dy, weight });
    }
  }
  const total = taps.reduce((sum, tap) => sum + tap.weight, 0);
  return taps.map((tap) => ({ ...tap, weight: tap.weight / total }));
}

function convolve(
  { height, width, values }: { readonly height: number; readonly width: number; readonly values: Float64Array },
  taps: readonly Tap[],
): Float64Array {
  const result = new Float64Array(values.length);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const to = (row * width + column) * 3;
      for (const { dx, dy, weight } of taps) {
        const from = (inside(row + dy, height) * width + inside(column + dx, width)) * 3;
        result[to]! += weight * values[from]!;
        result[to + 1]! += weight * values[from + 1]!;
        result[to + 2]! += weight * values[from + 2]!;
      }
    }
  }
  return result;
}

function inside(position: number, length: number): number {
  return Math.min(length - 1, Math.max(0, position));
}
