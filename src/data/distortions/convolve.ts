/**
 * Weighted sums over a neighbourhood. Beyond the border the outermost values are repeated.
 *
 * @module
 */

/** Values of one or more channels that lie side by side: height * width * channels, row by row. */
export interface Field {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly values: Float64Array;
}

/** One weight of a kernel and where it looks, in pixels from the pixel being made. */
export interface Tap {
  readonly dx: number;
  readonly dy: number;
  readonly weight: number;
}

/** @returns a field of the same size; each channel is summed by itself */
export function convolve(field: Field, taps: readonly Tap[]): Field {
  const { height, width, channels } = field;
  const radius = Math.max(0, ...taps.map(({ dx, dy }) => Math.max(Math.abs(dx), Math.abs(dy))));
  const source = extend(field, radius);
  const stride = (width + 2 * radius) * channels;
  const line = width * channels;
  const values = new Float64Array(height * line);
  for (const { dx, dy, weight } of taps) {
    for (let row = 0; row < height; row += 1) {
      const from = (row + dy + radius) * stride + (dx + radius) * channels;
      const to = row * line;
      for (let at = 0; at < line; at += 1) values[to + at]! += weight * source[from + at]!;
    }
  }
  return { ...field, values };
}

/**
 * Blurs with the normal distribution's bell.
 *
 * @param sigma standard deviation in pixels
 * @param radius where the bell is cut off
 */
export function gaussian(field: Field, sigma: number, radius: number): Field {
  const offsets = Array.from({ length: 2 * radius + 1 }, (_, index) => index - radius);
  const taps = normalise(offsets.map((dx) => ({ dx, dy: 0, weight: Math.exp(-(dx * dx) / (2 * sigma * sigma)) })));
  return convolve(
    convolve(field, taps),
    taps.map(({ dx, weight }) => ({ dx: 0, dy: dx, weight })),
  );
}

/** Scales the weights to the sum 1. */
export function normalise(taps: readonly Tap[]): Tap[] {
  const total = taps.reduce((sum, tap) => sum + tap.weight, 0);
  return taps.map((tap) => ({ ...tap, weight: tap.weight / total }));
}

/** The field with a frame of `radius` pixels around it. */
function extend({ height, width, channels, values }: Field, radius: number): Float64Array {
  const stride = (width + 2 * radius) * channels;
  const result = new Float64Array((height + 2 * radius) * stride);
  for (let row = 0; row < height + 2 * radius; row += 1) {
    const from = Math.min(height - 1, Math.max(0, row - radius)) * width * channels;
    const to = row * stride + radius * channels;
    result.set(values.subarray(from, from + width * channels), to);
    for (let step = 1; step <= radius; step += 1) {
      for (let channel = 0; channel < channels; channel += 1) {
        result[to - step * channels + channel] = values[from + channel]!;
        result[to + (width - 1 + step) * channels + channel] = values[from + (width - 1) * channels + channel]!;
      }
    }
  }
  return result;
}
