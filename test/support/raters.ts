/**
 * Rollout batches without a model: images whose scores follow their labels as closely as asked for.
 *
 * @module
 */
import { createRandomStream } from "../../src/data/distortions/random-stream.js";
import type { RolloutGroup } from "../../src/policy/index.js";
import { foldKey } from "../../src/stats/index.js";

export interface RaterOptions {
  /** Default 16. */
  readonly images?: number;
  /** Scores per image. Default 6. */
  readonly samples?: number;
  /** Correlation of an image's mean score with its quality. */
  readonly correlation: number;
  /** Standard deviation of the mean scores over the images. Default 0.8. */
  readonly spread?: number;
  /** Standard deviation of the scores of one image. Default 0.3. */
  readonly deviation?: number;
  /** Names the draws. */
  readonly seed: number;
}

/** An image as the pure formulas see it. */
export interface RatedImage {
  readonly dataset: string;
  readonly mos: number;
  readonly scores: readonly number[];
}

/** Scores around 3, neither rounded nor kept within 1 to 5. */
export function rateImages(options: RaterOptions): RatedImage[] {
  const { images = 16, samples = 6, correlation, spread = 0.8, deviation = 0.3, seed } = options;
  const { normal } = createRandomStream(foldKey(0, seed));
  return Array.from({ length: images }, () => {
    const quality = normal();
    const own = correlation * quality + Math.sqrt(1 - correlation ** 2) * normal();
    return {
      dataset: "tiny",
      mos: 3 + quality,
      scores: Array.from({ length: samples }, () => 3 + spread * own + deviation * normal()),
    };
  });
}

/** The same as answers of a model: two decimals. */
export function answerImages(options: RaterOptions): RolloutGroup[] {
  return rateImages(options).map(({ dataset, mos, scores }, image) => ({
    prompt: {
      row: { id: String(image), dataset, mos },
      tokenIds: new Int32Array(1),
      images: [],
      source: { file: 0, line: image + 1 },
    },
    completions: scores.map((score) => ({
      text: `<think>fine</think><answer>${score.toFixed(2)}</answer>`,
      tokenIds: new Int32Array(8),
      logprobs: new Float32Array(8),
      finishReason: "stop",
    })),
  }));
}
