import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import type { RgbImage } from "../../src/data/index.js";
import { labToRgb, rgbToLab } from "../../src/data/distortions/lab.js";
import { createRandomStream } from "../../src/data/distortions/random-stream.js";
import { decodeImage } from "../../src/images/index.js";
import { KEY, LEVELS, apply, at, flat, makeImage, meanOf, scene, squaredError } from "./scenes.js";

let bundled: RgbImage;
beforeAll(async () => {
  bundled = await decodeImage(fileURLToPath(new URL("../golden/distortions_window.png", import.meta.url)));
});

describe("blurs", () => {
  it("leave an even picture even, borders included", async () => {
    for (const type of ["01", "02", "03"]) {
      for (const level of LEVELS) expect((await apply(flat(100), type, level)).pixels).toEqual(flat(100).pixels);
    }
  });

  it("gaussian spreads an edge as the normal distribution does", async () => {
    const edge = makeImage((x) => (x < 24 ? [0, 0, 0] : [200, 200, 200]));
    const { pixels, width } = await apply(edge, "01", 4);
    const profile = Array.from({ length: 6 }, (_, index) => pixels[(20 * width + 24 + index) * 3]!);
    // 200 * Phi((index + 0.5) / sigma) with sigma 2.
    expect(profile).toEqual([120, 155, 179, 192, 198, 199]);
  });

  it("lens spreads a point over a disc, by the share of a pixel inside it", async () => {
    const point = makeImage((x, y) => (x === 20 && y === 20 ? [255, 255, 255] : [0, 0, 0]));
    // Areas by counting 400 x 400 points of every pixel.
    const disc = await apply(point, "02", 2);
    const row = Array.from({ length: 7 }, (_, index) => at(disc, 17 + index, 20)[0]!);
    for (const [index, exact] of [0, 9.7, 20.3, 20.3, 20.3, 9.7, 0].entries()) {
      expect(Math.abs(row[index]! - exact)).toBeLessThanOrEqual(1.5);
    }
    const wide = await apply(point, "02", 5);
    expect(wide.pixels.filter((value) => value > 0).length / 3).toBeGreaterThan(0.9 * Math.PI * 64);
    expect(wide.pixels.filter((value) => value > 0).length / 3).toBeLessThan(1.1 * Math.PI * 8.5 ** 2);
  });

  it("motion leaves lines along its direction sharp and washes out those across", async () => {
    const row = await apply(
      makeImage((_, y) => (y === 20 ? [255, 255, 255] : [0, 0, 0])),
      "03",
      5,
    );
    const column = await apply(
      makeImage((x) => (x === 20 ? [255, 255, 255] : [0, 0, 0])),
      "03",
      5,
    );
    const peak = ({ pixels }: RgbImage) => Math.max(...pixels);
    expect(Math.max(peak(row), peak(column)) / Math.min(peak(row), peak(column))).toBeGreaterThan(1.2);
  });
});

describe("colour", () => {
  it("saturation 1 keeps the greatest channel and, at 0, gives its grey; below 0 the opposite hue", async () => {
    const orange = makeImage(() => [200, 120, 40]);
    expect(at(await apply(orange, "07", 1), 0, 0)).toEqual([200, 168, 136]);
    expect(at(await apply(orange, "07", 4), 0, 0)).toEqual([200, 200, 200]);
    expect(at(await apply(orange, "07", 5), 0, 0)).toEqual([200, 232, 255]);
  });

  it("saturation leaves grey alone", async () => {
    for (const type of ["07", "08"]) {
      for (const level of LEVELS) expect((await apply(flat(90), type, level)).pixels).toEqual(flat(90).pixels);
    }
  });

  it("brighten and darken bend the tones of grey as the parabola does", async () => {
    const middle = (0.5 * 255) | 0;
    const curve = (x: number, m: number) => Math.min(1, Math.max(0, (2 - 4 * m) * x * x + (4 * m - 1) * x));
    const [bright] = at(await apply(flat(middle), "16", 3), 0, 0);
    const [lightness] = rgbToLab(middle, middle, middle);
    const [viaLab] = labToRgb([100 * curve(lightness / 100, 0.7), 0, 0]);
    expect(Math.abs(bright! - (2 * 255 * curve(middle / 255, 0.7) + viaLab) / 3)).toBeLessThanOrEqual(0.51);
    const [dark] = at(await apply(flat(middle), "17", 4), 0, 0);
    expect(dark).toBe(Math.round(255 * curve(middle / 255, 0.3)));
  });

  it("mean shift adds the same to every value and cuts off", async () => {
    expect(
      at(
        await apply(
          makeImage(() => [10, 128, 240]),
          "18",
          1,
        ),
        0,
        0,
      ),
    ).toEqual([48, 166, 255]);
    expect(
      at(
        await apply(
          makeImage(() => [10, 128, 240]),
          "18",
          5,
        ),
        0,
        0,
      ),
    ).toEqual([0, 90, 202]);
    expect((await apply(scene, "18", 3)).pixels).toEqual(scene.pixels);
  });

  it("contrast follows the spline through KADID's five points", async () => {
    const ramp = makeImage((x) => [5 * x, 5 * x, 5 * x]);
    const values = async (level: number) => {
      const changed = await apply(ramp, "25", level);
      return [0, 12, 25, 40, 47].map((x) => at(changed, x, 0)[0]);
    };
    // scipy.interpolate.CubicSpline([0, .3, .5, .7, 1], [0, .25 - a/4, .5, .75 + a/4, 1]) at 0, 60, 125, 200, 235, clipped.
    expect(await values(1)).toEqual([0, 24, 123, 237, 255]);
    expect(await values(5)).toEqual([0, 89, 126, 171, 216]);
  });

  it("colour diffusion scales a* and b* of an even colour and keeps its brightness", async () => {
    const [lightness, a, b] = rgbToLab(120, 110, 100);
    const expected = labToRgb([lightness, 3 * a, 3 * b]).map(Math.round);
    const result = await apply(
      makeImage(() => [120, 110, 100]),
      "04",
      2,
    );
    expect(at(result, 20, 20)).toEqual(expected);
    expect((await apply(flat(90), "04", 5)).pixels).toEqual(flat(90).pixels);
  });

  it("colour shift moves green only, and only where there are edges", async () => {
    const edge = makeImage((x) => (x < 24 ? [20, 30, 40] : [200, 180, 160]));
    const shifted = await apply(edge, "05", 5);
    const channel = ({ pixels }: RgbImage, index: number) => pixels.filter((_, place) => place % 3 === index);
    expect(channel(shifted, 0)).toEqual(channel(edge, 0));
    expect(channel(shifted, 2)).toEqual(channel(edge, 2));
    expect(channel(shifted, 1)).not.toEqual(channel(edge, 1));
    expect((await apply(flat(90), "05", 5)).pixels).toEqual(flat(90).pixels);
  });

  it("colour quantisation leaves as many colours as it says, each a mean", async () => {
    const colours = (image: RgbImage) =>
      new Set(
        Array.from({ length: image.pixels.length / 3 }, (_, pixel) =>
          at(image, pixel % image.width, Math.floor(pixel / image.width)).join(),
        ),
      );
    const found = await Promise.all(LEVELS.map(async (level) => colours(await apply(bundled, "06", level)).size));
    expect(found).toEqual([64, 48, 32, 16, 8]);
    const two = makeImage((x) => (x < 10 ? [10, 20, 30] : [200, 100, 50]));
    expect((await apply(two, "06", 5)).pixels).toEqual(two.pixels);
  });

  it("sharpening overshoots on both sides of an edge and leaves the even alone", async () => {
    const edge = makeImage((x) => (x < 24 ? [80, 80, 80] : [160, 160, 160]));
    const sharp = await apply(edge, "24", 1);
    expect(at(sharp, 23, 20)[0]).toBeLessThan(60);
    expect(at(sharp, 24, 20)[0]).toBeGreaterThan(180);
    expect(at(sharp, 2, 20)).toEqual([80, 80, 80]);
  });

  it("quantisation leaves as many values as it says, the outermost among them", async () => {
    const ramp = makeImage((x, y) => [5 * x + 5, 5 * x + 5, 5 * y + 5]);
    const { pixels } = await apply(ramp, "22", 5);
    expect(new Set(pixels).size).toBe(7);
    expect([Math.min(...pixels), Math.max(...pixels)]).toEqual([5, 240]);
  });
});

describe("L*a*b*", () => {
  it("has the values of the standard for the primaries", () => {
    const rounded = (values: readonly number[]) => values.map((value) => Number(value.toFixed(2)));
    expect(rounded(rgbToLab(255, 0, 0))).toEqual([53.24, 80.09, 67.2]);
    expect(rounded(rgbToLab(0, 255, 0))).toEqual([87.73, -86.18, 83.18]);
    expect(rounded(rgbToLab(0, 0, 255))).toEqual([32.3, 79.19, -107.86]);
    expect(rounded(rgbToLab(255, 255, 255)).map(Math.abs)).toEqual([100, 0, 0]);
  });

  it("comes back to the same bytes", () => {
    for (let value = 0; value < 4096; value += 1) {
      const rgb = [(value & 15) * 17, ((value >> 4) & 15) * 17, (value >> 8) * 17] as const;
      expect(labToRgb(rgbToLab(...rgb)).map(Math.round)).toEqual([...rgb]);
    }
  });
});

describe("noise", () => {
  const grey = makeImage(() => [128, 128, 128], 200, 200);

  it("white has the variance it says", async () => {
    const { pixels } = await apply(grey, "11", 3);
    const deviations = Array.from(pixels, (value) => (value - 128) / 255);
    expect(Math.abs(meanOf(deviations))).toBeLessThan(0.001);
    expect(meanOf(deviations.map((value) => value * value))).toBeCloseTo(0.003, 4);
  });

  it("impulse changes the share it says, to black and white alike", async () => {
    const { pixels } = await apply(grey, "13", 5);
    const share = (wanted: number) => pixels.filter((value) => value === wanted).length / pixels.length;
    expect(share(0)).toBeCloseTo(0.015, 2.5);
    expect(share(255)).toBeCloseTo(0.015, 2.5);
    expect(share(0) + share(255) + share(128)).toBe(1);
  });

  it("in colour components has the variance that the matrix gives it", async () => {
    const { pixels } = await apply(grey, "12", 5);
    const variance = (channel: number) =>
      meanOf(
        Array.from(
          pixels.filter((_, place) => place % 3 === channel),
          (value) => ((value - 128) / 255) ** 2,
        ),
      ) / 0.003;
    expect(variance(0)).toBeCloseTo(1.164 ** 2 + 1.596 ** 2, 0);
    expect(variance(1)).toBeCloseTo(1.164 ** 2 + 0.392 ** 2 + 0.813 ** 2, 0);
    expect(variance(2)).toBeCloseTo(1.164 ** 2 + 2.017 ** 2, 0);
  });

  it("removed again leaves a fraction of its variance, and an edge standing", async () => {
    const edge = makeImage((x) => (x < 100 ? [40, 40, 40] : [200, 200, 200]), 200, 200);
    const { pixels } = await apply(edge, "15", 1);
    const errors = (from: number, to: number) =>
      Array.from(pixels.subarray(0), (value, place) => ({
        x: Math.floor(place / 3) % 200,
        error: value - edge.pixels[place]!,
      }))
        .filter(({ x }) => x >= from && x < to)
        .map(({ error }) => error ** 2);
    expect(meanOf(errors(120, 190))).toBeLessThan(0.1 * 0.01 * 255 ** 2);
    expect(at({ ...edge, pixels }, 97, 100)[0]!).toBeLessThan(120);
    expect(at({ ...edge, pixels }, 102, 100)[0]!).toBeGreaterThan(120);
  });

  it("multiplicative grows with the value", async () => {
    const { pixels } = await apply(grey, "14", 4);
    const deviations = Array.from(pixels, (value) => (value - 128) / 128);
    expect(meanOf(deviations.map((value) => value * value))).toBeCloseTo(0.02, 3);
    expect((await apply(flat(0), "14", 5)).pixels).toEqual(flat(0).pixels);
  });

  it("differs with the key", async () => {
    for (const type of ["03", "05", "11", "12", "13", "14", "15", "19", "20", "23"]) {
      expect((await apply(scene, type, 4, 1n)).pixels).not.toEqual((await apply(scene, type, 4, 2n)).pixels);
    }
  });
});

describe("displacement", () => {
  it("by jitter stays near: a ramp changes by its slope times the distance", async () => {
    const ramp = makeImage((x) => [4 * x, 4 * x, 4 * x], 60, 60);
    const { pixels } = await apply(ramp, "19", 3);
    const inner = Array.from(pixels, (value, place) => ({
      x: Math.floor(place / 3) % 60,
      change: value - ramp.pixels[place]!,
    }))
      .filter(({ x }) => x > 4 && x < 55)
      .map(({ change }) => change ** 2);
    // Five distances of standard deviation 0.2, of which the later ones are averaged a little.
    expect(Math.sqrt(meanOf(inner))).toBeGreaterThan(4 * 0.2);
    expect(Math.sqrt(meanOf(inner))).toBeLessThan(4 * 0.2 * Math.sqrt(5) + 0.3);
  });

  it("of patches copies what is there, in proportion to the picture", async () => {
    const before = new Set(bundled.pixels);
    const changed = async (level: number) => {
      const { pixels } = await apply(bundled, "20", level);
      expect(pixels.every((value) => before.has(value))).toBe(true);
      return pixels.filter((value, place) => value !== bundled.pixels[place]).length / pixels.length;
    };
    // 20 and 100 patches of 4 x 4 pixels, some on top of others.
    expect(await changed(1)).toBeLessThanOrEqual((20 * 16) / 56 ** 2);
    expect(await changed(5)).toBeGreaterThan(await changed(1));
  });

  it("colour blocks are squares of one colour: 4 pixels in a window, 32 in a picture of KADID's size", async () => {
    const share = async (image: RgbImage) => {
      const { pixels } = await apply(image, "23", 1);
      return pixels.filter((value, place) => value !== image.pixels[place]).length / 3;
    };
    expect(await share(makeImage(() => [1, 2, 3], 56, 56))).toBe(2 * 4 * 4);
    expect(await share(makeImage(() => [1, 2, 3], 384, 512))).toBe(2 * 32 * 32);
  });
});

describe("JPEG 2000", () => {
  it("at 400 : 1 leaves little but the mean, at 16 : 1 nearly everything", async () => {
    const strong = await apply(bundled, "09", 5);
    expect(Math.abs(meanOf(strong.pixels) - meanOf(bundled.pixels))).toBeLessThan(8);
    const middle = meanOf(bundled.pixels);
    const variance = meanOf(Array.from(bundled.pixels, (value) => (value - middle) ** 2));
    expect(squaredError(bundled, strong)).toBeLessThan(variance);
    expect(squaredError(bundled, await apply(bundled, "09", 1))).toBeLessThan(0.1 * variance);
  });
});

describe("pixelate", () => {
  it("leaves blocks of one colour, fewer the stronger it is", async () => {
    const ramp = makeImage((x) => [5 * x, 5 * x, 5 * x]);
    const values = async (level: number) => new Set((await apply(ramp, "21", level)).pixels).size;
    // Columns that remain: ceil(48 * (0.95 - s ** 0.6)).
    expect(await Promise.all(LEVELS.map(values))).toEqual([43, 38, 34, 28, 14]);
  });
});

describe("createRandomStream", () => {
  it("is uniform in [0, 1) and normal with mean 0 and variance 1", () => {
    const stream = createRandomStream(KEY);
    const uniform = Array.from({ length: 40_000 }, () => stream.uniform());
    const normal = Array.from({ length: 40_000 }, () => stream.normal());
    expect(Math.min(...uniform)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...uniform)).toBeLessThan(1);
    expect(meanOf(uniform)).toBeCloseTo(0.5, 2);
    expect(meanOf(normal)).toBeCloseTo(0, 1);
    expect(meanOf(normal.map((value) => value * value))).toBeCloseTo(1, 1);
    expect(meanOf(normal.map((value) => (Math.abs(value) < 1.96 ? 1 : 0)))).toBeCloseTo(0.95, 2);
  });
});
