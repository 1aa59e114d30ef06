/**
 * Coarse pixels: KADID's type 21.
 *
 * @module
 */
import type { RgbImage } from "./image.js";

/** @param strength 0.01 (weak) to 0.5: the picture is reduced to 0.95 - strength^0.6 of its size and enlarged again, both by the nearest pixel */
export function pixelate(image: RgbImage, strength: number): RgbImage {
  const scale = 0.95 - strength ** 0.6;
  const rows = nearestOfNearest(image.height, scale);
  const columns = nearestOfNearest(image.width, scale);
  const pixels = new Uint8Array(image.pixels.length);
  for (const [row, fromRow] of rows.entries()) {
    for (const [column, fromColumn] of columns.entries()) {
      const from = (fromRow * image.width + fromColumn) * 3;
      pixels.set(image.pixels.subarray(from, from + 3), (row * image.width + column) * 3);
    }
  }
  return { ...image, pixels };
}

/** For every position the one whose pixel it shows in the end. */
function nearestOfNearest(length: number, scale: number): number[] {
  const reduced = Math.max(1, Math.ceil(length * scale));
  return Array.from({ length }, (_, position) => {
    const coarse = Math.floor(((position + 0.5) * reduced) / length);
    return Math.floor(((coarse + 0.5) * length) / reduced);
  });
}
