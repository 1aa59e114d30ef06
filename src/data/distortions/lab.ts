/**
 * sRGB to CIE L*a*b* (white point D65) and back.
 *
 * Source: IEC 61966-2-1 for sRGB, CIE 15 for L*a*b*.
 *
 * @module
 */

/** L* in 0..100, a* and b* around -128..127. */
export type Lab = readonly [lightness: number, a: number, b: number];

const WHITE = { x: 0.95047, y: 1, z: 1.08883 } as const;
/** Where the cube root turns into a straight line. */
const KNEE = 6 / 29;

/** Linear intensity 0..1 of every byte. */
const LINEAR = Float64Array.from({ length: 256 }, (_, byte) => toLinear(byte));

/** @param red,green,blue bytes */
export function rgbToLab(red: number, green: number, blue: number): Lab {
  const [r, g, b] = [LINEAR[red]!, LINEAR[green]!, LINEAR[blue]!];
  const x = curve((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / WHITE.x);
  const y = curve((0.2126729 * r + 0.7151522 * g + 0.072175 * b) / WHITE.y);
  const z = curve((0.0193339 * r + 0.119192 * g + 0.9503041 * b) / WHITE.z);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** @returns red, green and blue on the scale 0..255, cut off where sRGB ends */
export function labToRgb([lightness, a, b]: Lab): [number, number, number] {
  const level = (lightness + 16) / 116;
  const x = WHITE.x * uncurve(level + a / 500);
  const y = WHITE.y * uncurve(level);
  const z = WHITE.z * uncurve(level - b / 200);
  return [
    fromLinear(3.2404542 * x - 1.5371385 * y - 0.4985314 * z),
    fromLinear(-0.969266 * x + 1.8760108 * y + 0.041556 * z),
    fromLinear(0.0556434 * x - 0.2040259 * y + 1.0572252 * z),
  ];
}

function toLinear(byte: number): number {
  const value = byte / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

function fromLinear(value: number): number {
  const bounded = Math.min(1, Math.max(0, value));
  return 255 * (bounded <= 0.0031308 ? 12.92 * bounded : 1.055 * bounded ** (1 / 2.4) - 0.055);
}

function curve(value: number): number {
  return value > KNEE ** 3 ? Math.cbrt(value) : value / (3 * KNEE * KNEE) + 4 / 29;
}

function uncurve(value: number): number {
  return value > KNEE ? value ** 3 : 3 * KNEE * KNEE * (value - 4 / 29);
}
