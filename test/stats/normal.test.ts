import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { erfc, normalCdf } from "../../src/stats/index.js";
import { readGolden } from "../golden/read.js";

interface Golden {
  erfc: { x: number; exact: number; python: number }[];
  normalCdf: { x: number; exact: number }[];
}

const golden = readGolden<Golden>("normal");

/** Error in units of the last place of 1, relative to the exact value. */
function unitsOff(value: number, exact: number): number {
  return Math.abs(value - exact) / exact / Number.EPSILON;
}

describe("erfc", () => {
  it("is within 4 units in the last place of the exact value, tails included", () => {
    for (const { x, exact } of golden.erfc) expect(unitsOff(erfc(x), exact), `erfc(${x})`).toBeLessThan(4);
  });

  it("agrees with Python's math.erfc", () => {
    for (const { x, python } of golden.erfc) expect(unitsOff(erfc(x), python), `erfc(${x})`).toBeLessThan(4);
  });

  it("reaches its limits and keeps NaN", () => {
    expect([erfc(Infinity), erfc(40), erfc(-Infinity), erfc(0)]).toEqual([0, 0, 2, 1]);
    expect(erfc(Number.NaN)).toBeNaN();
  });
});

describe("normalCdf", () => {
  it("is within 4 units in the last place of the exact value, tails included", () => {
    for (const { x, exact } of golden.normalCdf) expect(unitsOff(normalCdf(x), exact), `Phi(${x})`).toBeLessThan(4);
  });

  it("reaches its limits, is exactly one half at 0, and keeps NaN", () => {
    expect([normalCdf(Infinity), normalCdf(-Infinity), normalCdf(-1e300), normalCdf(0)]).toEqual([1, 0, 0, 0.5]);
    expect(normalCdf(Number.NaN)).toBeNaN();
  });

  it("is symmetric and never falls", () => {
    const number = fc.double({ min: -40, max: 40, noNaN: true });
    fc.assert(
      fc.property(number, number, (a, b) => {
        expect(normalCdf(a) + normalCdf(-a)).toBeCloseTo(1, 15);
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        expect(normalCdf(low)).toBeLessThanOrEqual(normalCdf(high) * (1 + 8 * Number.EPSILON));
      }),
    );
  });
});
