/**
 * Distortions that move colours about: KADID's types 04 and 05.
 *
 * @module
 */
import { gaussian } from "./convolve.js";
import type { Field } from "./convolve.js";
import { toByte } from "./image.js";
import type { RgbImage } from "./image.js";
import { labToRgb, rgbToLab } from "./lab.js";
import type { RandomStream } from "./random-stream.js";

/**
 * Blurs a* and b* of L*a*b* and scales them: colours run, edges stay.
 *
 * @param amount factor of a* and b*; the blur's standard deviation is 1.5 times as much and 2 pixels more
 */
export function diffuseColour(image: RgbImage, amount: number): RgbImage {
  const { height, width, pixels } = image;
  const lightness = new Float64Array(height * width);
  const ab: Field = { height, width, channels: 2, values: new Float64Array(height * width * 2) };
  for (let pixel = 0; pixel < height * width; pixel += 1) {
    const [l, a, b] = rgbToLab(pixels[pixel * 3]!, pixels[pixel * 3 + 1]!, pixels[pixel * 3 + 2]!);
    lightness[pixel] = l;
    ab.values[pixel * 2] = a;
    ab.values[pixel * 2 + 1] = b;
  }
  const sigma = 1.5 * amount + 2;
  const blurred = gaussian(ab, sigma, Math.ceil(2 * sigma)).values;
  const result = new Uint8Array(pixels.length);
  for (let pixel = 0; pixel < height * width; pixel += 1) {
    const rgb = labToRgb([lightness[pixel]!, amount * blurred[pixel * 2]!, amount * blurred[pixel * 2 + 1]!]);
    for (const [channel, value] of rgb.entries()) result[pixel * 3 + channel] = toByte(value);
  }
  return { ...image, pixels: result };
}

/**
 * Shifts green against red and blue where there are edges.
 *
 * @param amount length of the shift in pixels; its direction is drawn
 */
export function shiftColour(image: RgbImage, amount: number, random: RandomStream): RgbImage {
  const { height, width, pixels } = image;
  const [across, down] = [random.uniform(), random.uniform()];
  const length = Math.hypot(across, down);
  const [dx, dy] = [Math.round((across / length) * amount), Math.round((down / length) * amount)];
  const edges = edgeMap(image);
  const result = new Uint8Array(pixels);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const pixel = row * width + column;
      const from = Math.max(0, row - dy) * width + Math.max(0, column - dx);
      const share = edges[pixel]!;
      result[pixel * 3 + 1] = toByte(share * pixels[from * 3 + 1]! + (1 - share) * pixels[pixel * 3 + 1]!);
    }
  }
  return { ...image, pixels: result };
}

/** Share of edges around every pixel, 0..1: blurred gradient of brightness without its outermost hundredths. */
function edgeMap({ height, width, pixels }: RgbImage): Float64Array {
  const grey = new Float64Array(height * width);
  for (let pixel = 0; pixel < grey.length; pixel += 1) {
    grey[pixel] = 0.299 * pixels[pixel * 3]! + 0.587 * pixels[pixel * 3 + 1]! + 0.114 * pixels[pixel * 3 + 2]!;
  }
  const steepness = grey.map((_, pixel) => {
    const [row, column] = [Math.floor(pixel / width), pixel % width];
    const right = grey[row * width + Math.min(width - 1, column + 1)]! - grey[row * width + Math.max(0, column - 1)]!;
    const below = grey[Math.min(height - 1, row + 1) * width + column]! - grey[Math.max(0, row - 1) * width + column]!;
    return Math.hypot(right, below);
  });
  const { values } = gaussian({ height, width, channels: 1, values: steepness }, 4, 8);
  const sorted = values.toSorted();
  const low = sorted[Math.floor(0.01 * (sorted.length - 1))]!;
  const high = sorted[Math.ceil(0.99 * (sorted.length - 1))]!;
  return values.map((value) => (high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0));
}
