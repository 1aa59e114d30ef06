import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { distortions, type RgbImage } from "../../src/data/index.js";
import { cutWindows } from "../../src/data/windows.js";
import { decodeImage } from "../../src/images/index.js";
import { LEVELS, apply, makeImage, meanOf, scene, squaredError } from "./scenes.js";

/**
 * Of the window in distortions_window.png, by type: SHA-256 of the bytes at level 1 to 5, or, where an encoder's version has
 * a say, mean and mean squared error.
 */
const golden = JSON.parse(readFileSync(new URL("../golden/distortions_golden.json", import.meta.url), "utf8")) as {
  readonly hashes: Readonly<Record<string, readonly string[]>>;
  readonly codecs: Readonly<Record<string, readonly { readonly mean: number; readonly error: number }[]>>;
};
const GOLDEN = fileURLToPath(new URL("../golden/", import.meta.url));
const PHOTOS = fileURLToPath(new URL("../../assets/photos/", import.meta.url));

/** Windows of photographs in colour. */
let windows: readonly RgbImage[];
let bundled: RgbImage;

beforeAll(async () => {
  bundled = await decodeImage(join(GOLDEN, "distortions_window.png"));
  const names = ["chelsea.jpg", "coffee.jpg", "raccoon.jpg", "cc-by/china.jpg", "cc-by/fig.jpg", "cc-by/flower.jpg"];
  const photos = await Promise.all(names.map((name) => decodeImage(join(PHOTOS, name))));
  windows = photos.flatMap((photo) => cutWindows(photo, { size: 56, count: 2, key: 5n }));
});

describe("every distortion", () => {
  const types = distortions.map(({ type, name }) => ({ type, name }));
  const uncoded = types.filter(({ type }) => !(type in golden.codecs));

  it("of KADID's is there, under its number and name", () => {
    const { types: known } = JSON.parse(
      readFileSync(new URL("../../assets/kadid/means.json", import.meta.url), "utf8"),
    ) as { types: { type: string; name: string }[] };
    expect(types).toEqual(known.map(({ type, name }) => ({ type, name })));
    expect(types.length).toBe(25);
  });

  it.each(types)("$type $name keeps the size, leaves the original alone and repeats itself", async ({ type }) => {
    // A Buffer, as the decoder gives: its slice() is no copy.
    const image = { ...bundled, pixels: Buffer.from(bundled.pixels) };
    for (const level of LEVELS) {
      const [first, second] = await Promise.all([apply(image, type, level), apply(image, type, level)]);
      expect([first.height, first.width, first.pixels.length]).toEqual([56, 56, 56 * 56 * 3]);
      expect(Buffer.compare(first.pixels, second.pixels)).toBe(0);
    }
    expect(Buffer.compare(image.pixels, bundled.pixels)).toBe(0);
  });

  it.each(types)("$type $name gets worse from level to level, or from the middle to both ends", async ({ type }) => {
    const { amounts, twoSided } = distortions.find((one) => one.type === type)!;
    const errors = await Promise.all(
      LEVELS.map(async (level) =>
        meanOf(
          await Promise.all(windows.map(async (window) => squaredError(window, await apply(window, type, level)))),
        ),
      ),
    );
    if (twoSided === true) {
      // The contrast curve is straight at -0.2, and bent by little at 0 and -0.4 alike.
      const distance = amounts.map((amount) => Math.abs(amount + (type === "25" ? 0.2 : 0)));
      for (const a of [0, 1, 2, 3, 4]) {
        for (const b of [0, 1, 2, 3, 4]) {
          if (distance[a]! > distance[b]! + 1e-9) expect(errors[a]!).toBeGreaterThan(0.9 * errors[b]!);
        }
      }
    } else {
      // A shift of more than 6 pixels is as bad as one of 6; KADID's scores of type 05 do not fall there either.
      const ordered = type === "05" ? [1, 2] : [1, 2, 3, 4];
      for (const index of ordered) expect(errors[index]!).toBeGreaterThan(errors[index - 1]!);
    }
  });

  it.each(uncoded)("$type $name gives the bytes it always gave", async ({ type }) => {
    const hashes: string[] = [];
    for (const level of LEVELS) {
      hashes.push(
        createHash("sha256")
          .update((await apply(bundled, type, level)).pixels)
          .digest("hex"),
      );
    }
    expect(hashes).toEqual(golden.hashes[type]);
  });

  it.each(types.filter(({ type }) => type in golden.codecs))(
    "$type $name gives what it always gave",
    async ({ type }) => {
      for (const [index, { mean, error }] of golden.codecs[type]!.entries()) {
        const image = await apply(bundled, type, index + 1);
        expect(Math.abs(meanOf(image.pixels) - mean)).toBeLessThan(1);
        expect(squaredError(bundled, image) / error).toBeGreaterThan(0.9);
        expect(squaredError(bundled, image) / error).toBeLessThan(1.1);
      }
    },
  );

  it.each(types)("$type $name takes pictures of any size and shape", async ({ type }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ height: fc.integer({ min: 4, max: 40 }), width: fc.integer({ min: 4, max: 40 }) }),
        fc.integer({ min: 1, max: 5 }),
        fc.uint8Array({ minLength: 64, maxLength: 64 }),
        async ({ height, width }, level, colours) => {
          const image = makeImage(
            (x, y) => [colours[x % 64]!, colours[y % 64]!, colours[(x * y) % 64]!],
            height,
            width,
          );
          const before = image.pixels.slice();
          const result = await apply(image, type, level);
          expect([result.height, result.width, result.pixels.length]).toEqual([height, width, height * width * 3]);
          expect(Buffer.compare(image.pixels, before)).toBe(0);
        },
      ),
      { numRuns: 8 },
    );
  });

  it("that does not exist is refused with the list of those that do", async () => {
    await expect(apply(scene, "26", 1)).rejects.toMatchObject({ code: "DATA_UNKNOWN_DISTORTION" });
    await expect(apply(scene, "26", 1)).rejects.toThrow("Types are 01, 02, 03");
    for (const level of [0, 6, 1.5]) await expect(apply(scene, "01", level)).rejects.toThrow("levels 1 to 5");
  });
});
