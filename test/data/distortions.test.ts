import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { distort, distortions, type RgbImage } from "../../src/data/index.js";
import { labToRgb, rgbToLab } from "../../src/data/distortions/lab.js";
import { createRandomStream } from "../../src/data/distortions/random-stream.js";

const golden = JSON.parse(
  readFileSync(new URL("../golden/distortions_golden.json", import.meta.url), "utf8"),
) as Readonly<Record<string, readonly string[]>>;

const KEY = 0x1234_5678_9abc_def0n;
const LEVELS = [1, 2, 3, 4, 5];

function makeImage(
  pixel: (x: number, y: number) => readonly [number, number, number],
  height = 40,
  width = 48,
): RgbImage {
  const pixels = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) pixels.set(pixel(x, y), (y * width + x) * 3);
  }
  return { height, width, pixels };
}

/** Colours, gradients and edges. */
const scene = makeImage((x, y) => [60 + 3 * x, Math.floor(y / 8) % 2 === 0 ? 200 - 2 * y : 40 + y, 30 + 2 * x + 2 * y]);
const flat = (value: number) => makeImage(() => [value, value, value]);
const apply = (image: RgbImage, type: string, level: number, key = KEY) => distort(image, { type, level, key });
const at = ({ pixels, width }: RgbImage, x: number, y: number) => [
  ...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];
const meanOf = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

function squaredError(a: RgbImage, b: RgbImage): number {
  return meanOf(Array.from(a.pixels, (value, index) => (value - b.pixels[index]!) ** 2));
}

describe("every distortion", () => {
  const types = distortions.map(({ type, name }) => ({ type, name }));

  it("has a number of KADID's, and no two share one", () => {
    expect(types.length).toBeGreaterThanOrEqual(6);
    expect(types.map(({ type }) => type)).toEqual([...new Set(types.map(({ type }) => type))].toSorted());
    for (const { type } of types) expect(Number(type)).toBeLessThanOrEqual(25);
  });

  it.each(types)("$type $name keeps the size, leaves the original alone and repeats itself", async ({ type }) => {
    const before = scene.pixels.slice();
    for (const level of LEVELS) {
      const [first, second] = await Promise.all([apply(scene, type, level), apply(scene, type, level)]);
      expect([first.height, first.width, first.pixels.length]).toEqual([40, 48, 40 * 48 * 3]);
      expect(second).toEqual(first);
    }
    expect(scene.pixels).toEqual(before);
  });

  it.each(types)("$type $name gets worse from level to level", async ({ type }) => {
    const errors: number[] = [];
    for (const level of LEVELS) errors.push(squaredError(scene, await apply(scene, type, level)));
    for (const [index, error] of errors.entries()) {
      if (index > 0) expect(error).toBeGreaterThan(errors[index - 1]!);
    }
  });

  it.each(types.filter(({ type }) => type !== "10"))("$type $name gives the bytes it always gave", async ({ type }) => {
    const hashes: string[] = [];
    for (const level of LEVELS) {
      hashes.push(
        createHash("sha256")
          .update((await apply(scene, type, level)).pixels)
          .digest("hex"),
      );
    }
    expect(hashes).toEqual(golden[type]);
  });

  it("that does not exist is refused with the list of those that do", async () => {
    await expect(apply(scene, "09", 1)).rejects.toMatchObject({ code: "DATA_UNKNOWN_DISTORTION" });
    await expect(apply(scene, "09", 1)).rejects.toThrow("Types are 01, 03");
    for (const level of [0, 6, 1.5]) await expect(apply(scene, "01", level)).rejects.toThrow("levels 1 to 5");
  });
});

describe("blurs", () => {
  it("leave an even picture even, borders included", async () => {
    for (const type of ["01", "03"]) {
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
    for (const [type, level, amount] of [
      ["16", 3, 0.4],
      ["17", 4, -0.4],
    ] as const) {
      const [value] = at(await apply(flat(middle), type, level), 0, 0);
      const direct = 255 * curve(middle / 255, 0.5 + amount / 2);
      const [lightness] = rgbToLab(middle, middle, middle);
      const [viaLab] = labToRgb([100 * curve(lightness / 100, 0.5 + amount / 2), 0, 0]);
      expect(Math.abs(value! - (2 * direct + viaLab) / 3)).toBeLessThanOrEqual(0.51);
      expect(Math.sign(value! - middle)).toBe(Math.sign(amount));
    }
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

  it("multiplicative grows with the value", async () => {
    const { pixels } = await apply(grey, "14", 4);
    const deviations = Array.from(pixels, (value) => (value - 128) / 128);
    expect(meanOf(deviations.map((value) => value * value))).toBeCloseTo(0.02, 3);
    expect((await apply(flat(0), "14", 5)).pixels).toEqual(flat(0).pixels);
  });

  it("differs with the key", async () => {
    for (const type of ["03", "11", "13", "14"]) {
      expect((await apply(scene, type, 4, 1n)).pixels).not.toEqual((await apply(scene, type, 4, 2n)).pixels);
    }
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
