import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mean, quantile, standardDeviation, variance } from "../../src/stats/index.js";

describe("moments", () => {
  it("gives the mean and the unbiased variance", () => {
    expect(mean([1, 2, 6])).toBe(3);
    expect(variance([1, 2, 6])).toBe(7);
    expect(standardDeviation([1, 2, 6])).toBe(Math.sqrt(7));
  });

  it("gives null where too few values define nothing", () => {
    expect(mean([])).toBeNull();
    expect(variance([4])).toBeNull();
    expect(standardDeviation([4])).toBeNull();
    expect(quantile([], 0.5)).toBeNull();
  });

  it("loses no digits to a large offset", () => {
    expect(variance([1e9 + 1, 1e9 + 2, 1e9 + 6])).toBe(7);
  });

  it("gives equal values as their mean, and no variance", () => {
    fc.assert(
      fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.integer({ min: 2, max: 50 }), (value, count) => {
        const values = Array.from({ length: count }, () => value);
        expect(Math.abs(mean(values)! - value)).toBeLessThanOrEqual(Math.abs(value) * Number.EPSILON);
        expect(variance(values)).toBeLessThanOrEqual((value * Number.EPSILON) ** 2 * 2);
      }),
    );
  });
});

describe("quantile", () => {
  it("interpolates between order statistics as NumPy does", () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([4, 1, 3, 2], 0.1)).toBeCloseTo(1.3, 15);
    expect([quantile([7], 0.3), quantile([1, 9], 0), quantile([1, 9], 1)]).toEqual([7, 1, 9]);
  });

  it("refuses a probability outside of 0 to 1", () => {
    expect(() => quantile([1, 2], 1.5)).toThrow(RangeError);
    expect(() => quantile([1, 2], Number.NaN)).toThrow(RangeError);
  });
});
