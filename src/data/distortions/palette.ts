/**
 * Few colours: KADID's type 06.
 *
 * Source: minimum variance quantisation as in MATLAB's rgb2ind, here by halving the box of colours with the greatest sum of
 * squared deviations at the mean of its widest channel (Wan, Wong and Prusinkiewicz, "An algorithm for multidimensional data
 * clustering", 1988, without its search for the best cut).
 *
 * @module
 */
import { toByte } from "./image.js";
import type { RgbImage } from "./image.js";

/** Pixels that will get one colour. */
interface Box {
  readonly members: readonly number[] | Uint32Array;
  readonly mean: readonly [number, number, number];
  /** Sum of squared deviations from the mean by channel. */
  readonly spread: readonly [number, number, number];
}

/** @param colours how many are left at most; every pixel takes the mean of its box */
export function quantiseColour(image: RgbImage, colours: number): RgbImage {
  const { pixels } = image;
  const everything = Uint32Array.from({ length: pixels.length / 3 }, (_, pixel) => pixel);
  let boxes = [boxOf(pixels, everything)];
  while (boxes.length < colours) {
    const widest = boxes.reduce((best, box) => (total(box) > total(best) ? box : best));
    if (total(widest) === 0) break;
    boxes = boxes.flatMap((box) => (box === widest ? halve(pixels, box) : [box]));
  }
  const result = new Uint8Array(pixels.length);
  for (const { members, mean } of boxes) {
    const [red, green, blue] = mean.map(toByte);
    for (const pixel of members) {
      result[pixel * 3] = red!;
      result[pixel * 3 + 1] = green!;
      result[pixel * 3 + 2] = blue!;
    }
  }
  return { ...image, pixels: result };
}

function total({ spread }: Box): number {
  return spread[0] + spread[1] + spread[2];
}

function halve(pixels: Uint8Array, { members, mean, spread }: Box): Box[] {
  const channel = spread.indexOf(Math.max(...spread));
  const below: number[] = [];
  const above: number[] = [];
  for (const pixel of members) (pixels[pixel * 3 + channel]! <= mean[channel]! ? below : above).push(pixel);
  return [boxOf(pixels, below), boxOf(pixels, above)];
}

function boxOf(pixels: Uint8Array, members: Box["members"]): Box {
  const [sum, squares] = [
    [0, 0, 0],
    [0, 0, 0],
  ];
  for (const pixel of members) {
    for (let channel = 0; channel < 3; channel += 1) {
      const value = pixels[pixel * 3 + channel]!;
      sum[channel]! += value;
      squares[channel]! += value * value;
    }
  }
  const count = members.length;
  const mean = sum.map((value) => value / count) as unknown as Box["mean"];
  const spread = squares.map((value, channel) => value - sum[channel]! * mean[channel]!) as unknown as Box["spread"];
  return { members, mean, spread };
}
