/**
 * The control of an evaluation: a picture of one grey in place of every picture. A model that still ranks them does not look.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Picture } from "../../policy/index.js";

const MID_GREY = 128;

/** A mid-grey picture of the same size, at the same size as the model sees it. */
export function greyPicture({ height, width, targetHeight, targetWidth }: Picture): Picture {
  const hash = createHash("sha256").update(`grey ${MID_GREY} ${width}x${height}`).digest("hex");
  return {
    key: `${hash}-${targetWidth}x${targetHeight}`,
    hash,
    height,
    width,
    targetHeight,
    targetWidth,
    pixels: async () => new Uint8Array(height * width * 3).fill(MID_GREY),
  };
}
