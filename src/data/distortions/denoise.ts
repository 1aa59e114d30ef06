/**
 * What is left of a noisy picture when its noise has been removed: KADID's type 15.
 *
 * KADID removes the noise with a neural network (DnCNN). Here it is the adaptive Wiener filter, which keeps as much of a pixel's
 * distance from its surroundings as their variance exceeds the noise's.
 *
 * Source: J. S. Lim, "Two-Dimensional Signal and Image Processing", 1990, equations 9.26 to 9.29 (MATLAB's wiener2).
 *
 * @module
 */
import { toByte, toBytes } from "./image.js";
import type { RgbImage } from "./image.js";
import type { RandomStream } from "./random-stream.js";

/** Pixels around the middle one whose mean and variance are taken. */
const RADIUS = 3;

/** @param variance of the normal noise that is added and then removed, on the scale 0..1 */
export function denoise(image: RgbImage, variance: number, random: RandomStream): RgbImage {
  const deviation = 255 * Math.sqrt(variance);
  // As a file of the noisy picture would hold it.
  const noisy = new Float64Array(image.pixels).map((value) => toByte(value + deviation * random.normal()));
  const mean = boxMean(noisy, image);
  const squares = boxMean(
    noisy.map((value) => value * value),
    image,
  );
  const kept = noisy.map((value, at) => {
    const here = mean[at]!;
    const spread = squares[at]! - here * here;
    const share = Math.max(0, spread - deviation * deviation) / Math.max(spread, deviation * deviation);
    return here + share * (value - here);
  });
  return { ...image, pixels: toBytes(kept) };
}

/** Mean over a square window that ends at the border, channel by channel. */
function boxMean(values: Float64Array, { height, width }: RgbImage): Float64Array {
  const across = slide(values, { lines: height, lineStride: width * 3, length: width, stride: 3 });
  return slide(across, { lines: width, lineStride: 3, length: height, stride: width * 3 });
}

interface Lines {
  readonly lines: number;
  readonly lineStride: number;
  /** Pixels of a line, and the distance between two of them in the array. */
  readonly length: number;
  readonly stride: number;
}

function slide(values: Float64Array, { lines, lineStride, length, stride }: Lines): Float64Array {
  const result = new Float64Array(values.length);
  for (let line = 0; line < lines; line += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      const start = line * lineStride + channel;
      let sum = 0;
      let count = 0;
      for (let position = -RADIUS; position < length; position += 1) {
        const entering = position + RADIUS;
        const leaving = position - RADIUS - 1;
        if (entering < length) {
          sum += values[start + entering * stride]!;
          count += 1;
        }
        if (leaving >= 0) {
          sum -= values[start + leaving * stride]!;
          count -= 1;
        }
        if (position >= 0) result[start + position * stride] = sum / count;
      }
    }
  }
  return result;
}
