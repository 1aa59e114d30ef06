/**
 * Blurs: KADID's types 01, 02 and 03. Beyond the border the outermost pixels are repeated.
 *
 * @module
 */
import { convolve, gaussian, normalise } from "./convolve.js";
import type { Field, Tap } from "./convolve.js";
import { toBytes } from "./image.js";
import type { RgbImage } from "./image.js";
import type { RandomStream } from "./random-stream.js";

/** @param sigma standard deviation in pixels */
export function gaussianBlur(image: RgbImage, sigma: number): RgbImage {
  return fromField(image, gaussian(toField(image), sigma, Math.ceil(4 * sigma)));
}

/**
 * Spreads every pixel over a disc, as a lens out of focus does. At the disc's edge a pixel counts by about the share of
 * it that lies inside, as in MATLAB's fspecial("disk").
 *
 * @param radius in pixels
 */
export function lensBlur(image: RgbImage, radius: number): RgbImage {
  const taps = square(radius).flatMap(({ dx, dy }): Tap[] => {
    const weight = Math.min(1, radius + 0.5 - Math.hypot(dx, dy));
    return weight > 0 ? [{ dx, dy, weight }] : [];
  });
  return fromField(image, convolve(toField(image), normalise(taps)));
}

/**
 * Moves along a straight line in a random direction.
 *
 * @param length of the line in pixels; 1 changes nothing
 */
export function motionBlur(image: RgbImage, length: number, random: RandomStream): RgbImage {
  const angle = random.uniform() * Math.PI;
  return fromField(image, convolve(toField(image), normalise(lineTaps(length, angle))));
}

/** A pixel weighs the more the nearer it is to the line, as in MATLAB's fspecial("motion"). */
function lineTaps(length: number, angle: number): Tap[] {
  const half = (length - 1) / 2;
  const [x, y] = [Math.cos(angle), Math.sin(angle)];
  return square(Math.ceil(half)).flatMap(({ dx, dy }): Tap[] => {
    const along = dx * x + dy * y;
    const aside = dx * y - dy * x;
    const beyond = Math.max(0, Math.abs(along) - half);
    const weight = Math.max(0, 1 - Math.hypot(aside, beyond));
    return weight > 0 ? [{ dx, dy, weight }] : [];
  });
}

function square(radius: number): { readonly dx: number; readonly dy: number }[] {
  const offsets = Array.from({ length: 2 * radius + 1 }, (_, index) => index - radius);
  return offsets.flatMap((dy) => offsets.map((dx) => ({ dx, dy })));
}

function toField({ height, width, pixels }: RgbImage): Field {
  return { height, width, channels: 3, values: new Float64Array(pixels) };
}

function fromField(image: RgbImage, { values }: Field): RgbImage {
  return { ...image, pixels: toBytes(values) };
}
