import fc from "fast-check";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { smartResize } from "../../src/images/index.js";

interface GoldenCase {
  readonly h: number;
  readonly w: number;
  readonly min_pixels: number;
  readonly max_pixels: number;
  readonly out?: readonly [number, number];
  readonly error?: string;
}

const golden = JSON.parse(readFileSync(new URL("../golden/smart_resize_golden.json", import.meta.url), "utf8")) as {
  readonly factor: number;
  readonly cases: readonly GoldenCase[];
};

const resize = ({ h, w, min_pixels, max_pixels }: GoldenCase) =>
  smartResize({ height: h, width: w, factor: golden.factor, minPixels: min_pixels, maxPixels: max_pixels });

describe("smartResize", () => {
  it("equals the checkpoint's own processor on every golden size", () => {
    const sized = golden.cases.filter((one) => one.out !== undefined);
    const ours = sized.map(resize);
    expect(ours).toEqual(sized.map(({ out }) => ({ height: out![0], width: out![1] })));
    expect(sized.length).toBe(212);
  });

  it("refuses what the processor refuses, with both sides in the message", () => {
    const refused = golden.cases.filter((one) => one.error !== undefined);
    expect(refused.length).toBe(8);
    for (const one of refused) {
      expect(() => resize(one)).toThrow(expect.objectContaining({ code: "DATA_IMAGE_TOO_LONG" }) as Error);
      expect(() => resize(one)).toThrow(`${one.w} x ${one.h} pixels`);
    }
  });

  it("rounds half to even", () => {
    const limits = { factor: 28, minPixels: 28 * 28, maxPixels: 1e7 };
    expect(smartResize({ height: 70, width: 98, ...limits })).toEqual({ height: 56, width: 112 });
  });

  it("gives multiples of the factor within the limits, and leaves its own results alone", () => {
    const side = fc.integer({ min: 28, max: 3000 });
    fc.assert(
      fc.property(side, side, (height, width) => {
        const limits = { factor: 28, minPixels: 3136, maxPixels: 1_003_520 };
        const first = smartResize({ height, width, ...limits });
        expect(first.height % 28).toBe(0);
        expect(first.width % 28).toBe(0);
        expect(first.height * first.width).toBeGreaterThanOrEqual(limits.minPixels);
        expect(first.height * first.width).toBeLessThanOrEqual(limits.maxPixels);
        expect(smartResize({ ...first, ...limits })).toEqual(first);
      }),
    );
  });
});
