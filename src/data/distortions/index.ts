/**
 * Distortions of KADID-10k at its five levels, under its numbers: the table, and one function that applies them.
 *
 * Source of types and parameters: H. Lin, V. Hosu, D. Saupe, "KADID-10k: A Large-scale Artificially Distorted IQA Database",
 * QoMEX 2019, and its published generator. Results resemble that generator's, byte for byte they are our own. A further type
 * is one entry of the table.
 *
 * @module
 */
import { DataError } from "../../errors.js";
import { gaussianBlur, motionBlur } from "./blur.js";
import { bendTones, quantise, saturateHsv, saturateLab } from "./colour.js";
import { jpeg } from "./compression.js";
import type { RgbImage } from "./image.js";
import { impulseNoise, multiplicativeNoise, whiteNoise } from "./noise.js";
import { pixelate } from "./pixelate.js";
import { createRandomStream } from "./random-stream.js";
import type { RandomStream } from "./random-stream.js";

export type { RgbImage } from "./image.js";

export interface Distortion {
  /** KADID's number, "01" to "25". */
  readonly type: string;
  readonly name: string;
  /** Amount at level 1 to 5; what it means is the function's business. */
  readonly amounts: readonly [number, number, number, number, number];
  /** Says little about a picture without colours. */
  readonly needsColour?: boolean;
  apply(image: RgbImage, amount: number, random: RandomStream): RgbImage | Promise<RgbImage>;
}

/** Those that exist, in the order of their numbers. All of them get worse from level to level. */
export const distortions: readonly Distortion[] = [
  { type: "01", name: "gaussian blur", amounts: [0.1, 0.5, 1, 2, 5], apply: gaussianBlur },
  { type: "03", name: "motion blur", amounts: [1, 2, 4, 6, 10], apply: motionBlur },
  { type: "07", name: "saturation 1", amounts: [0.4, 0.2, 0.1, 0, -0.4], needsColour: true, apply: saturateHsv },
  { type: "08", name: "saturation 2", amounts: [1, 2, 3, 6, 9], needsColour: true, apply: saturateLab },
  { type: "10", name: "jpeg", amounts: [43, 36, 24, 7, 4], apply: jpeg },
  { type: "11", name: "white noise", amounts: [0.001, 0.002, 0.003, 0.005, 0.01], apply: whiteNoise },
  { type: "13", name: "impulse noise", amounts: [0.001, 0.005, 0.01, 0.02, 0.03], apply: impulseNoise },
  { type: "14", name: "multiplicative noise", amounts: [0.001, 0.005, 0.01, 0.02, 0.05], apply: multiplicativeNoise },
  { type: "16", name: "brighten", amounts: [0.1, 0.2, 0.4, 0.7, 1.1], apply: bendTones },
  { type: "17", name: "darken", amounts: [-0.05, -0.1, -0.2, -0.4, -0.8], apply: bendTones },
  { type: "21", name: "pixelate", amounts: [0.01, 0.05, 0.1, 0.2, 0.5], apply: pixelate },
  { type: "22", name: "quantisation", amounts: [20, 16, 13, 10, 7], apply: quantise },
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
