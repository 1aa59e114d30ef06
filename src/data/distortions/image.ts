/**
 * The picture that distortions work on, and the few things all of them need.
 *
 * @module
 */

/** Distortions never write to the picture they are given. */
export interface RgbImage {
  readonly height: number;
  readonly width: number;
  /** RGB, row by row: height * width * 3 bytes. */
  readonly pixels: Uint8Array;
}

/** Rounds to the nearest of 0..255. */
export function toByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : Math.floor(value + 0.5);
}

/** A picture of the same size whose every byte follows from the byte at its place. */
export function mapBytes(image: RgbImage, change: (value: number) => number): RgbImage {
  return { ...image, pixels: image.pixels.map((value) => toByte(change(value))) };
}

/** A picture of the same size whose every pixel follows from the pixel at its place; values may leave 0..255. */
export function mapPixels(
  image: RgbImage,
  change: (red: number, green: number, blue: number) => readonly [number, number, number],
): RgbImage {
  const pixels = new Uint8Array(image.pixels.length);
  for (let at = 0; at < pixels.length; at += 3) {
    const [red, green, blue] = change(image.pixels[at]!, image.pixels[at + 1]!, image.pixels[at + 2]!);
    pixels[at] = toByte(red);
    pixels[at + 1] = toByte(green);
    pixels[at + 2] = toByte(blue);
  }
  return { ...image, pixels };
}
