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

/** Rounds every value to the nearest of 0..255. */
export function toBytes(values: Float64Array): Uint8Array {
  const bytes = new Uint8Array(values.length);
  for (let at = 0; at < values.length; at += 1) bytes[at] = toByte(values[at]!);
  return bytes;
}

/** A picture of the same size whose every byte follows from the byte at its place; `change` is asked in their order. */
export function mapBytes(image: RgbImage, change: (value: number) => number): RgbImage {
  return { ...image, pixels: image.pixels.map((value) => toByte(change(value))) };
}

/**
 * A picture of the same size whose every byte follows from the byte at its place and nothing else.
 *
 * @param curve from and to 0..1; what lies outside is cut off
 */
export function mapTones(image: RgbImage, curve: (value: number) => number): RgbImage {
  const table = Uint8Array.from({ length: 256 }, (_, value) => toByte(255 * curve(value / 255)));
  return { ...image, pixels: image.pixels.map((value) => table[value]!) };
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

/**
 * How much smaller a picture is than KADID's, which have 512 x 384 pixels: sides of patches are scaled by it.
 *
 * @returns 1 for a picture of KADID's area
 */
export function relativeSide({ height, width }: RgbImage): number {
  return Math.sqrt((height * width) / (512 * 384));
}
