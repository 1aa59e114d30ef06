/**
 * Square windows of a photograph that show something.
 *
 * @module
 */
import { shuffle } from "../stats/index.js";
import type { RgbImage } from "./distortions/index.js";

export interface WindowOptions {
  /** Side in pixels; at most the photograph's shorter side. */
  readonly size: number;
  /** How many windows; fewer come back where the photograph has no room for as many without overlap. */
  readonly count: number;
  /** Names the draw. */
  readonly key: bigint;
}

const DETAILED_SHARE = 0.25;

/**
 * Draws windows that do not overlap from the more detailed quarter of all places on a grid: blur and compression leave no
 * trace where nothing was to be seen. Where these do not suffice, the most detailed of the others follow.
 *
 * @returns cut-out pictures of size x size
 */
export function cutWindows(image: RgbImage, { size, count, key }: WindowOptions): RgbImage[] {
  const places = grid(image, size).map((place) => ({ ...place, detail: detailOf(image, place, size) }));
  const sorted = places.toSorted((a, b) => b.detail - a.detail);
  const quarter = Math.ceil(places.length * DETAILED_SHARE);
  const chosen: { readonly top: number; readonly left: number }[] = [];
  for (const place of [...shuffle(sorted.slice(0, quarter), key), ...sorted.slice(quarter)]) {
    if (chosen.length === count) break;
    const free = chosen.every(
      (other) => Math.abs(other.top - place.top) >= size || Math.abs(other.left - place.left) >= size,
    );
    if (free) chosen.push(place);
  }
  return chosen.map((place) => cutWindow(image, place, size));
}

/** The most detailed place for a window. */
export function detailedWindow(
  image: RgbImage,
  size: number,
): { readonly top: number; readonly left: number; readonly size: number } {
  const places = grid(image, size).map((place) => ({ ...place, detail: detailOf(image, place, size) }));
  const { top, left } = places.reduce((best, place) => (place.detail > best.detail ? place : best));
  return { top, left, size };
}

/** Places half a window apart. */
function grid({ height, width }: RgbImage, size: number): { readonly top: number; readonly left: number }[] {
  const starts = (length: number): number[] => {
    const stride = Math.max(1, Math.floor(size / 2));
    return Array.from({ length: Math.floor((length - size) / stride) + 1 }, (_, index) => index * stride);
  };
  return starts(height).flatMap((top) => starts(width).map((left) => ({ top, left })));
}

/** How much there is to see in a window: mean absolute difference of neighbouring pixels' green, which is nearest to brightness. */
export function detailOf(
  { pixels, width }: RgbImage,
  { top, left }: { readonly top: number; readonly left: number },
  size: number,
): number {
  let sum = 0;
  for (let row = top; row < top + size - 1; row += 1) {
    for (let column = left; column < left + size - 1; column += 1) {
      const here = pixels[(row * width + column) * 3 + 1]!;
      sum += Math.abs(here - pixels[(row * width + column + 1) * 3 + 1]!);
      sum += Math.abs(here - pixels[((row + 1) * width + column) * 3 + 1]!);
    }
  }
  return sum / (size - 1) ** 2;
}

/** The square of `size` pixels at this place, as a picture of its own. */
export function cutWindow(
  { pixels, width }: RgbImage,
  place: { readonly top: number; readonly left: number },
  size: number,
): RgbImage {
  const result = new Uint8Array(size * size * 3);
  for (let row = 0; row < size; row += 1) {
    const from = ((place.top + row) * width + place.left) * 3;
    result.set(pixels.subarray(from, from + size * 3), row * size * 3);
  }
  return { height: size, width: size, pixels: result };
}
