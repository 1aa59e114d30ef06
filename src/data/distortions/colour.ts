/**
 * Changes of colour and brightness, pixel by pixel: KADID's types 07, 08, 16, 17, 18, 22 and 25.
 *
 * @module
 */
import { mapPixels, mapTones } from "./image.js";
import type { RgbImage } from "./image.js";
import { labToRgb, rgbToLab } from "./lab.js";

/** Scales the saturation of HSV; a negative factor also turns every hue into its opposite. */
export function saturateHsv(image: RgbImage, factor: number): RgbImage {
  return mapPixels(image, (red, green, blue) => {
    // With hue and value kept, each channel's distance from the value is proportional to the saturation.
    const value = Math.max(red, green, blue);
    return [value - factor * (value - red), value - factor * (value - green), value - factor * (value - blue)];
  });
}

/** Scales a* and b* of L*a*b*. */
export function saturateLab(image: RgbImage, factor: number): RgbImage {
  return mapPixels(image, (red, green, blue) => {
    const [lightness, a, b] = rgbToLab(red, green, blue);
    return labToRgb([lightness, factor * a, factor * b]);
  });
}

/**
 * Bends the tone curve of each channel and of L*, and mixes both results 2 : 1.
 *
 * @param amount how far the middle grey is lifted, as a share of half the range
 */
export function brighten(image: RgbImage, amount: number): RgbImage {
  const bend = toneCurve(0.5 + amount / 2);
  return mapPixels(image, (red, green, blue) => {
    const [lightness, a, b] = rgbToLab(red, green, blue);
    const viaLab = labToRgb([100 * bend(lightness / 100), a, b]);
    return [
      (2 * 255 * bend(red / 255) + viaLab[0]) / 3,
      (2 * 255 * bend(green / 255) + viaLab[1]) / 3,
      (2 * 255 * bend(blue / 255) + viaLab[2]) / 3,
    ];
  });
}

/**
 * Bends the tone curve of each channel downwards.
 *
 * @param amount how far the middle grey is lowered, as a share of half the range
 */
export function darken(image: RgbImage, amount: number): RgbImage {
  return mapTones(image, toneCurve(0.5 - amount / 2));
}

/** @param amount added to every value on the scale 0..1; may be negative */
export function shiftMean(image: RgbImage, amount: number): RgbImage {
  return mapTones(image, (value) => value + amount);
}

/**
 * Steepens or flattens the tone curve around the middle: the cubic through (0, 0), (0.3, 0.25 - amount / 4), (0.5, 0.5),
 * (0.7, 0.75 + amount / 4) and (1, 1), which is the spline through these points.
 *
 * @param amount -0.2 changes nothing; more is more contrast, less is less
 */
export function changeContrast(image: RgbImage, amount: number): RgbImage {
  const cubic = -(0.05 + amount / 4) / 0.042;
  const linear = 1 - cubic / 4;
  return mapTones(image, (value) => {
    const offset = value - 0.5;
    return 0.5 + linear * offset + cubic * offset ** 3;
  });
}

/** The parabola through (0, 0), (0.5, middle) and (1, 1), cut off at 0 and 1. */
function toneCurve(middle: number): (value: number) => number {
  return (value) => Math.min(1, Math.max(0, (2 - 4 * middle) * value * value + (4 * middle - 1) * value));
}

/** Leaves `levels` equally spaced values between the smallest and the greatest byte. */
export function quantise(image: RgbImage, levels: number): RgbImage {
  let low = 255;
  let high = 0;
  for (const value of image.pixels) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const step = Math.max(1, high - low) / (levels - 1);
  return mapTones(image, (value) => (low + Math.round((255 * value - low) / step) * step) / 255);
}
