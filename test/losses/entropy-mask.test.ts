import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { entropyMask } from "../../src/losses/index.js";

const factorsOf = (entropies: number[][], share: number): number[][] =>
  entropyMask(entropies, share).factors.map((own) => [...own]);

describe("the entropy mask", () => {
  const ten = [
    [0.1, 0.9, 0.5, 0.3],
    [0.7, 0.2, 1, 0.4, 0.8, 0.6],
  ];

  it("keeps the highest share of all tokens, over completions of any length", () => {
    expect(factorsOf(ten, 0.2)).toEqual([
      [0, 1, 0, 0],
      [0, 0, 1, 0, 0, 0],
    ]);
    expect(entropyMask(ten, 0.2)).toMatchObject({ kept: 0.2 });
    // The threshold lies between order statistics: position 7.2 of 0.1, 0.2, ..., 1.
    expect(entropyMask(ten, 0.2).threshold).toBeCloseTo(0.82, 6);
  });

  it("keeps everything at 1 and only the highest at 0", () => {
    expect(factorsOf(ten, 1).flat()).toEqual(ten.flat().map(() => 1));
    expect(factorsOf(ten, 0)).toEqual([
      [0, 0, 0, 0],
      [0, 0, 1, 0, 0, 0],
    ]);
  });

  it("takes a position that is whole but for rounding as that one: 1 - 0.7 of 11 tokens is the fourth", () => {
    const eleven = Array.from({ length: 11 }, (_, index) => index);
    expect(factorsOf([eleven], 0.7)[0]).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  });

  it("keeps all of several equal ones at the threshold", () => {
    expect(entropyMask([[1, 1, 1, 0]], 0.25)).toMatchObject({ threshold: 1, kept: 0.75 });
  });

  it("keeps at least the share that was asked for, and nothing below what it leaves out", () => {
    const table = fc.array(fc.array(fc.float({ min: 0, max: 5, noNaN: true }), { maxLength: 9 }), { maxLength: 9 });
    fc.assert(
      fc.property(table, fc.double({ min: 0, max: 1, noNaN: true }), (entropies, share) => {
        const { factors, kept } = entropyMask(entropies, share);
        const all = entropies
          .flat()
          .map((value, index) => ({ value, factor: factors.flatMap((own) => [...own])[index] }));
        const least = Math.min(...all.filter(({ factor }) => factor === 1).map(({ value }) => value));
        const most = Math.max(...all.filter(({ factor }) => factor === 0).map(({ value }) => value));
        expect(most).toBeLessThanOrEqual(least);
        if (kept === null) expect(all).toEqual([]);
        else expect(Math.ceil(kept * all.length)).toBeGreaterThanOrEqual(Math.floor(share * (all.length - 1)));
      }),
    );
  });

  it("is nothing where there are no tokens, and refuses what is no share and no number", () => {
    expect(entropyMask([[], []], 0.5)).toEqual({
      factors: [new Float64Array(0), new Float64Array(0)],
      threshold: null,
      kept: null,
    });
    expect(() => entropyMask([[1]], 1.5)).toThrow("the share is 1.5, expected 0 to 1");
    expect(() => entropyMask([[Number.NaN]], 0.5)).toThrow("not a number");
  });
});
