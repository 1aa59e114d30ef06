/**
 * Distortions of KADID-10k at its five levels, under its numbers: the table, and one function that applies them.
 *
 * Source of types and parameters: H. Lin, V. Hosu, D. Saupe, "KADID-10k: A Large-scale Artificially Distorted IQA Database",
 * QoMEX 2019, and its published generator. Results resemble that generator's, byte for byte they are our own. Where the way
 * differs more than in rounding, the function says so: denoise (15) has another filter, patches and blocks (20, 23) shrink with
 * the picture, colour quantisation (06) and quantisation (22) choose their values in a simpler way.
 *
 * @module
 */
import { DataError } from "../../errors.js";
import { gaussianBlur, lensBlur, motionBlur } from "./blur.js";
import { diffuseColour, shiftColour } from "./chroma.js";
import { brighten, changeContrast, darken, quantise, saturateHsv, saturateLab, shiftMean } from "./colour.js";
import { jpeg } from "./compression.js";
import { denoise } from "./denoise.js";
import { blockColour, jitter, movePatches } from "./displace.js";
import type { RgbImage } from "./image.js";
import { jpeg2000 } from "./jpeg2000.js";
import { colourNoise, impulseNoise, multiplicativeNoise, whiteNoise } from "./noise.js";
import { quantiseColour } from "./palette.js";
import { pixelate } from "./pixelate.js";
import { createRandomStream } from "./random-stream.js";
import type { RandomStream } from "./random-stream.js";
import { sharpen } from "./sharpen.js";

export type { RgbImage } from "./image.js";

export interface Distortion {
  /** KADID's number, "01" to "25". */
  readonly type: string;
  readonly name: string;
  /** Amount at level 1 to 5; what it means is the function's business. */
  readonly amounts: readonly [number, number, number, number, number];
  /** Says little about a picture without colours. */
  readonly needsColour?: boolean;
  /** Goes from too much at level 1 over little to too little at level 5; all others get worse from level to level. */
  readonly twoSided?: boolean;
  apply(image: RgbImage, amount: number, random: RandomStream): RgbImage | Promise<RgbImage>;
}

/** KADID's 25, in the order of their numbers, under its names. */
export const distortions: readonly Distortion[] = [
  { type: "01", name: "gaussian blur", amounts: [0.1, 0.5, 1, 2, 5], apply: gaussianBlur },
  { type: "02", name: "lens blur", amounts: [1, 2, 4, 6, 8], apply: lensBlur },
  { type: "03", name: "motion blur", amounts: [1, 2, 4, 6, 10], apply: motionBlur },
  { type: "04", name: "colour diffusion", amounts: [1, 3, 6, 8, 12], needsColour: true, apply: diffuseColour },
  { type: "05", name: "colour shift", amounts: [1, 3, 6, 8, 12], apply: shiftColour },
  { type: "06", name: "colour quantisation", amounts: [64, 48, 32, 16, 8], apply: quantiseColour },
  { type: "07", name: "colour saturation 1", amounts: [0.4, 0.2, 0.1, 0, -0.4], needsColour: true, apply: saturateHsv },
  { type: "08", name: "colour saturation 2", amounts: [1, 2, 3, 6, 9], needsColour: true, apply: saturateLab },
  { type: "09", name: "JPEG 2000", amounts: [16, 32, 45, 120, 400], apply: jpeg2000 },
  { type: "10", name: "JPEG", amounts: [43, 36, 24, 7, 4], apply: jpeg },
  { type: "11", name: "white noise", amounts: [0.001, 0.002, 0.003, 0.005, 0.01], apply: whiteNoise },
  {
    type: "12",
    name: "white noise in colour component",
    amounts: [0.0001, 0.0005, 0.001, 0.002, 0.003],
    apply: colourNoise,
  },
  { type: "13", name: "impulse noise", amounts: [0.001, 0.005, 0.01, 0.02, 0.03], apply: impulseNoise },
  { type: "14", name: "multiplicative noise", amounts: [0.001, 0.005, 0.01, 0.02, 0.05], apply: multiplicativeNoise },
  { type: "15", name: "denoise", amounts: [0.01, 0.03, 0.05, 0.1, 0.15], apply: denoise },
  { type: "16", name: "brighten", amounts: [0.1, 0.2, 0.4, 0.7, 1.1], apply: brighten },
  { type: "17", name: "darken", amounts: [0.05, 0.1, 0.2, 0.4, 0.8], apply: darken },
  { type: "18", name: "mean shift", amounts: [0.15, 0.08, 0, -0.08, -0.15], twoSided: true, apply: shiftMean },
  { type: "19", name: "jitter", amounts: [0.05, 0.1, 0.2, 0.5, 1], apply: jitter },
  { type: "20", name: "non-eccentricity patch", amounts: [20, 40, 60, 80, 100], apply: movePatches },
  { type: "21", name: "pixelate", amounts: [0.01, 0.05, 0.1, 0.2, 0.5], apply: pixelate },
  { type: "22", name: "quantisation", amounts: [20, 16, 13, 10, 7], apply: quantise },
  { type: "23", name: "colour block", amounts: [2, 4, 6, 8, 10], apply: blockColour },
  { type: "24", name: "high sharpen", amounts: [1, 2, 3, 6, 12], apply: sharpen },
  { type: "25", name: "contrast change", amounts: [0.3, 0.15, 0, -0.4, -0.6], twoSided: true, apply: changeContrast },
];

export interface DistortOptions {
  /** KADID's number, "01" to "25". */
  readonly type: string;
  /** 1 (weak) to 5 (strong). */
  readonly level: number;
  /** Names the random draws of noise and directions: the same key gives the same picture. */
  readonly key: bigint;
}

/**
 * @returns a new picture of the same size
 * @throws DataError DATA_UNKNOWN_DISTORTION for a type or level that does not exist
 */
export async function distort(image: RgbImage, { type, level, key }: DistortOptions): Promise<RgbImage> {
  const distortion = distortions.find((one) => one.type === type);
  const amount = distortion?.amounts[level - 1];
  if (distortion === undefined || amount === undefined) {
    const known = distortions.map((one) => one.type).join(", ");
    throw new DataError(
      "DATA_UNKNOWN_DISTORTION",
      `There is no distortion of type "${type}" at level ${level}. Types are ${known}, levels 1 to 5.`,
      { fields: { type, level } },
    );
  }
  return distortion.apply(image, amount, createRandomStream(key));
}
