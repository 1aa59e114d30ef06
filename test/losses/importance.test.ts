import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { importanceCorrection } from "../../src/losses/index.js";
import type { ImportanceMode } from "../../src/losses/index.js";

const log = Math.log;
/** Ratios 2, 0.5 and 1 in one completion, 4 and 1 in another. */
const training = [
  [log(0.5), log(0.1), -1],
  [log(0.8), -2],
];
const sampling = [
  [log(0.25), log(0.2), -1],
  [log(0.2), -2],
];

const factorsOf = (mode: ImportanceMode, options = {}): number[][] =>
  importanceCorrection(training, sampling, { mode, ...options }).factors.map((own) =>
    Array.from(own, (factor) => Number(factor.toFixed(12))),
  );

describe("the correction", () => {
  it("of tokens sets ratios to the limit, or to 0", () => {
    expect(factorsOf("token_truncate")).toEqual([
      [2, 0.5, 1],
      [3, 1],
    ]);
    expect(factorsOf("token_mask")).toEqual([
      [2, 0.5, 1],
      [0, 1],
    ]);
    expect(factorsOf("token_truncate", { clipMin: 0.8, clipMax: 1.5 })).toEqual([
      [1.5, 0.8, 1],
      [1.5, 1],
    ]);
    expect(factorsOf("token_mask", { clipMin: 0.8, clipMax: 1.5 })).toEqual([
      [0, 0, 1],
      [0, 1],
    ]);
  });

  it("of sequences takes the product over the tokens, for all of them", () => {
    expect(factorsOf("sequence_truncate")).toEqual([
      [1, 1, 1],
      [3, 3],
    ]);
    expect(factorsOf("sequence_mask")).toEqual([
      [1, 1, 1],
      [0, 0],
    ]);
    expect(factorsOf("sequence_mask", { clipMax: null })).toEqual([
      [1, 1, 1],
      [4, 4],
    ]);
    expect(factorsOf("sequence_mask", { clipMax: null, clipMin: 2 })).toEqual([
      [0, 0, 0],
      [4, 4],
    ]);
  });

  it("is a mask of sequences at 3 by default, as in TRL", () => {
    expect(importanceCorrection(training, sampling)).toEqual(
      importanceCorrection(training, sampling, { mode: "sequence_mask", clipMax: 3, clipMin: null }),
    );
  });

  it("tells the ratios as they are used, and the share beyond the limits", () => {
    const tokens = importanceCorrection(training, sampling, { mode: "token_mask", clipMax: 1.5 });
    expect(tokens.ratios.map((ratio) => Number(ratio.toFixed(12)))).toEqual([0, 0.5, 1, 0, 1]);
    expect(tokens.limited).toBeCloseTo(2 / 5, 12);
    const sequences = importanceCorrection(training, sampling, { mode: "sequence_truncate" });
    expect(sequences.ratios.map((ratio) => Number(ratio.toFixed(12)))).toEqual([1, 3]);
    expect(sequences.limited).toBe(0.5);
    expect(importanceCorrection([], []).limited).toBeNull();
  });

  it("is 1 everywhere where nothing differs, and never leaves the limits when it truncates", () => {
    const table = fc.array(fc.array(fc.double({ min: -9, max: 0, noNaN: true }), { maxLength: 8 }), { maxLength: 6 });
    const modes = fc.constantFrom<ImportanceMode>("token_truncate", "token_mask", "sequence_truncate", "sequence_mask");
    fc.assert(
      fc.property(table, modes, fc.double({ min: -2, max: 2, noNaN: true }), (own, mode, shift) => {
        const same = importanceCorrection(own, own, { mode });
        expect(same.factors.flatMap((factors) => [...factors]).every((factor) => factor === 1)).toBe(true);
        const drawn = own.map((row) => row.map((value) => value + shift));
        const { factors } = importanceCorrection(own, drawn, { mode, clipMin: 0.5, clipMax: 2 });
        const all = factors.flatMap((one) => [...one]);
        const low = mode.endsWith("mask") ? 0 : 0.5;
        expect(all.every((factor) => factor >= low && factor <= 2)).toBe(true);
      }),
    );
  });

  it("refuses tables of different shape, what is no number, and limits with nothing in between", () => {
    expect(() => importanceCorrection([[1]], [])).toThrow("1 completions against 0");
    expect(() => importanceCorrection([[1]], [[1, 2]])).toThrow("1 tokens of completion 0 against 2");
    expect(() => importanceCorrection([[Number.NaN]], [[1]])).toThrow("not a number");
    expect(() => importanceCorrection([[1]], [[1]], { clipMin: 2, clipMax: 2 })).toThrow("nothing in between");
  });
});
