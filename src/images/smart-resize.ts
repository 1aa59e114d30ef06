/**
 * The size at which a model sees a picture: both sides multiples of `factor`, the area within limits, the shape kept.
 *
 * Source: `smart_resize` of Qwen2-VL's image processor (huggingface/transformers), number for number, so that token
 * counts are known before any model work. Resizing itself happens in the worker.
 *
 * @module
 */
import { DataError } from "../errors.js";

export interface ImageSize {
  /** Pixels. */
  readonly height: number;
  /** Pixels. */
  readonly width: number;
}

export interface SmartResizeOptions extends ImageSize {
  /** Both sides become multiples of it: patch size x merge size, 28 for Qwen2.5-VL. */
  readonly factor: number;
  /** Least area in pixels; smaller pictures are enlarged. */
  readonly minPixels: number;
  /** Greatest area in pixels; larger pictures are reduced. A very long picture may stay above it. */
  readonly maxPixels: number;
}

/** Longer side : shorter side; beyond it the model's family refuses a picture. */
const GREATEST_ASPECT = 200;

/**
 * @returns multiples of `factor`; 0 only where a side is shorter than half of it and `minPixels` does not prevent that
 * @throws DataError DATA_IMAGE_TOO_LONG when one side is more than 200 times the other
 */
export function smartResize(options: SmartResizeOptions): ImageSize {
  const { height, width, factor, minPixels, maxPixels } = options;
  const aspect = Math.max(height, width) / Math.min(height, width);
  if (aspect > GREATEST_ASPECT) {
    throw new DataError(
      "DATA_IMAGE_TOO_LONG",
      `A picture of ${width} x ${height} pixels is ${aspect.toFixed(1)} times as long as wide; the model takes at most ${GREATEST_ASPECT}. Crop it, or leave it out.`,
      { fields: { height, width } },
    );
  }

  const rounded = {
    height: roundHalfToEven(height / factor) * factor,
    width: roundHalfToEven(width / factor) * factor,
  };
  const area = rounded.height * rounded.width;
  if (area > maxPixels) {
    const shrink = Math.sqrt((height * width) / maxPixels);
    const fit = (side: number): number => Math.max(factor, Math.floor(side / shrink / factor) * factor);
    return { height: fit(height), width: fit(width) };
  }
  if (area < minPixels) {
    const grow = Math.sqrt(minPixels / (height * width));
    const fit = (side: number): number => Math.ceil((side * grow) / factor) * factor;
    return { height: fit(height), width: fit(width) };
  }
  return rounded;
}

/** Python's `round`: 2.5 becomes 2, where Math.round gives 3. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
