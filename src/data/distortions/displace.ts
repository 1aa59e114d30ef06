/**
 * Pixels and patches in other places: KADID's types 19, 20 and 23.
 *
 * KADID's patches have 16 and its blocks 32 pixels a side, in pictures of 512 x 384. In smaller pictures they shrink in
 * proportion, to 4 pixels at least: unchanged they would cover a window of 56 pixels altogether.
 *
 * @module
 */
import { relativeSide, toByte, toBytes } from "./image.js";
import type { RgbImage } from "./image.js";
import type { RandomStream } from "./random-stream.js";

const LEAST_SIDE = 4;
const JITTER_PASSES = 5;

/**
 * Takes every pixel from a place near its own, five times over.
 *
 * @param amount standard deviation of the distance in pixels, down and across
 */
export function jitter(image: RgbImage, amount: number, random: RandomStream): RgbImage {
  let values = new Float64Array(image.pixels);
  for (let pass = 0; pass < JITTER_PASSES; pass += 1) values = scatter(values, image, () => amount * random.normal());
  return { ...image, pixels: toBytes(values) };
}

/** Between four pixels their mean by distance is taken. */
function scatter(values: Float64Array, { height, width }: RgbImage, distance: () => number): Float64Array<ArrayBuffer> {
  const result = new Float64Array(values.length);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const y = Math.min(height - 1, Math.max(0, row + distance()));
      const x = Math.min(width - 1, Math.max(0, column + distance()));
      const [top, left] = [Math.floor(y), Math.floor(x)];
      const [down, right] = [top + 1 < height ? width * 3 : 0, left + 1 < width ? 3 : 0];
      const [dy, dx] = [y - top, x - left];
      const from = (top * width + left) * 3;
      const to = (row * width + column) * 3;
      for (let channel = 0; channel < 3; channel += 1) {
        const at = from + channel;
        const upper = (1 - dx) * values[at]! + dx * values[at + right]!;
        const lower = (1 - dx) * values[at + down]! + dx * values[at + down + right]!;
        result[to + channel] = (1 - dy) * upper + dy * lower;
      }
    }
  }
  return result;
}

/**
 * Copies square patches to places near their own, one after the other.
 *
 * @param count of patches
 */
export function movePatches(image: RgbImage, count: number, random: RandomStream): RgbImage {
  const { height, width } = image;
  const side = sideOf(image, 16);
  const pixels = new Uint8Array(image.pixels);
  const start = (length: number): number => Math.floor(random.uniform() * (length - side + 1));
  const near = (position: number, length: number): number =>
    Math.min(length - side, Math.max(0, position + Math.round((random.uniform() - 0.5) * side)));
  for (let patch = 0; patch < count; patch += 1) {
    const [top, left] = [start(height), start(width)];
    const [toTop, toLeft] = [near(top, height), near(left, width)];
    const rows = Array.from({ length: side }, (_, row) => {
      const from = ((top + row) * width + left) * 3;
      return pixels.slice(from, from + side * 3);
    });
    for (const [row, bytes] of rows.entries()) pixels.set(bytes, ((toTop + row) * width + toLeft) * 3);
  }
  return { ...image, pixels };
}

/**
 * Covers square blocks with one colour each, anywhere.
 *
 * @param count of blocks
 */
export function blockColour(image: RgbImage, count: number, random: RandomStream): RgbImage {
  const { height, width } = image;
  const side = sideOf(image, 32);
  const pixels = new Uint8Array(image.pixels);
  for (let block = 0; block < count; block += 1) {
    const colour = [random.uniform(), random.uniform(), random.uniform()].map((value) => toByte(255 * value));
    const top = Math.floor(random.uniform() * (height - side + 1));
    const left = Math.floor(random.uniform() * (width - side + 1));
    for (let row = top; row < top + side; row += 1) {
      for (let column = left; column < left + side; column += 1) pixels.set(colour, (row * width + column) * 3);
    }
  }
  return { ...image, pixels };
}

function sideOf(image: RgbImage, side: number): number {
  const scaled = Math.max(LEAST_SIDE, Math.round(side * relativeSide(image)));
  return Math.min(scaled, image.height, image.width);
}
