import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { krcc, pairwiseAccuracy, plcc, ranks, srcc } from "../../src/stats/index.js";
import { readGolden } from "../golden/read.js";

interface Golden {
  cases: { name: string; pred: number[]; mos: number[]; expected: { srcc: number; krcc: number; plcc: number } }[];
  degenerate: { name: string; pred: number[]; mos: number[] }[];
}

const golden = readGolden<Golden>("metrics");

/** Pairs of lists with many ties, at least one of which is often constant. */
const tied = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 })), { minLength: 3, maxLength: 40 })
  .map((pairs) => [pairs.map(([x]) => x), pairs.map(([, y]) => y)] as const);

/** Tau-b by its definition, over all pairs. */
function slowKrcc(x: readonly number[], y: readonly number[]): number | null {
  let [agreement, xPairs, yPairs] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    for (let j = 0; j < i; j++) {
      const [a, b] = [Math.sign(x[i]! - x[j]!), Math.sign(y[i]! - y[j]!)];
      agreement += a * b;
      xPairs += Math.abs(a);
      yPairs += Math.abs(b);
    }
  }
  return xPairs * yPairs === 0 ? null : agreement / Math.sqrt(xPairs * yPairs);
}

describe("correlations", () => {
  it.each(golden.cases)("equal SciPy's on $name", ({ pred, mos, expected }) => {
    expect(srcc(pred, mos)).toBeCloseTo(expected.srcc, 13);
    expect(krcc(pred, mos)).toBeCloseTo(expected.krcc, 13);
    expect(plcc(pred, mos)).toBeCloseTo(expected.plcc, 13);
  });

  it.each(golden.degenerate)("are null on $name", ({ pred, mos }) => {
    expect([srcc(pred, mos), krcc(pred, mos), plcc(pred, mos)]).toEqual([null, null, null]);
  });

  it("are null for fewer than three points and for values that are not finite", () => {
    for (const correlation of [srcc, krcc, plcc]) {
      expect(correlation([], [])).toBeNull();
      expect(correlation([1, 2], [1, 2])).toBeNull();
      expect(correlation([1, 2, Number.NaN], [1, 2, 3])).toBeNull();
      expect(correlation([1, 2, 3], [1, Infinity, 3])).toBeNull();
    }
  });

  it("refuse lists of different length", () => {
    for (const correlation of [srcc, krcc, plcc]) expect(() => correlation([1, 2, 3], [1, 2])).toThrow(RangeError);
  });

  it("are exactly 1 or -1 for the same and the opposite order", () => {
    const list = fc.uniqueArray(fc.integer({ min: -1000, max: 1000 }), { minLength: 3 });
    fc.assert(
      fc.property(list, (x) => {
        const opposite = x.map((value) => -value);
        expect([srcc(x, x), krcc(x, x), plcc(x, x)]).toEqual([1, 1, 1]);
        expect([srcc(x, opposite), krcc(x, opposite), plcc(x, opposite)]).toEqual([-1, -1, -1]);
      }),
    );
  });

  it("of ranks do not change under a rising map, and change sign under a falling one", () => {
    const rising = (value: number): number => Math.exp(value) + value;
    fc.assert(
      fc.property(tied, ([x, y]) => {
        expect(srcc(x.map(rising), y)).toEqual(srcc(x, y));
        expect(krcc(x.map(rising), y)).toEqual(krcc(x, y));
        const before = krcc(x, y);
        expect(
          krcc(
            x,
            y.map((value) => -rising(value)),
          ),
        ).toEqual(before === null ? null : 0 - before);
      }),
    );
  });

  it("are symmetric and lie in [-1, 1]", () => {
    fc.assert(
      fc.property(tied, ([x, y]) => {
        for (const correlation of [srcc, krcc, plcc]) {
          const value = correlation(x, y);
          const swapped = correlation(y, x);
          if (value === null || swapped === null) {
            expect(value).toBe(swapped);
            continue;
          }
          expect(Math.abs(value)).toBeLessThanOrEqual(1);
          expect(swapped).toBeCloseTo(value, 14);
        }
      }),
    );
  });

  it("krcc equals the definition over all pairs, ties included", () => {
    fc.assert(
      fc.property(tied, ([x, y]) => {
        const expected = slowKrcc(x, y);
        if (expected === null) expect(krcc(x, y)).toBeNull();
        else expect(krcc(x, y)).toBeCloseTo(expected, 14);
      }),
    );
  });
});

describe("ranks", () => {
  it("average over ties", () => {
    expect(ranks([3, 1, 3, 2, 3])).toEqual([4, 1, 4, 2, 4]);
    expect(ranks([5, 5])).toEqual([1.5, 1.5]);
    expect(ranks([])).toEqual([]);
  });

  it("add up to n (n + 1) / 2", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9 })), (values) => {
        const sum = ranks(values).reduce((total, rank) => total + rank, 0);
        expect(sum).toBe((values.length * (values.length + 1)) / 2);
      }),
    );
  });
});

describe("pairwiseAccuracy", () => {
  /** By its definition, over all pairs. */
  function slow(predictions: readonly number[], labels: readonly number[]): number | null {
    let [right, pairs] = [0, 0];
    for (let i = 0; i < labels.length; i++) {
      for (let j = 0; j < i; j++) {
        if (labels[i] === labels[j]) continue;
        const agreement = Math.sign(predictions[i]! - predictions[j]!) * Math.sign(labels[i]! - labels[j]!);
        right += (1 + agreement) / 2;
        pairs += 1;
      }
    }
    return pairs === 0 ? null : right / pairs;
  }

  it("equals the definition over all pairs, ties included", () => {
    fc.assert(
      fc.property(tied, ([x, y]) => {
        const expected = slow(x, y);
        if (expected === null) expect(pairwiseAccuracy(x, y)).toBeNull();
        else expect(pairwiseAccuracy(x, y)).toBeCloseTo(expected, 14);
      }),
    );
  });

  it("is 1 for the labels' order, 0 for the opposite one, and one half for a constant", () => {
    const labels = [3, 1, 4, 1, 5];
    expect(pairwiseAccuracy(labels, labels)).toBe(1);
    expect(
      pairwiseAccuracy(
        labels.map((label) => -label),
        labels,
      ),
    ).toBe(0);
    expect(pairwiseAccuracy([2, 2, 2, 2, 2], labels)).toBe(0.5);
    expect(pairwiseAccuracy([1, 2], [1, 2])).toBe(1);
  });

  it("is null without two different labels and for values that are not finite", () => {
    expect(pairwiseAccuracy([], [])).toBeNull();
    expect(pairwiseAccuracy([1, 2, 3], [1, 1, 1])).toBeNull();
    expect(pairwiseAccuracy([1, 2, Number.NaN], [1, 2, 3])).toBeNull();
    expect(() => pairwiseAccuracy([1], [1, 2])).toThrow(RangeError);
  });
});
