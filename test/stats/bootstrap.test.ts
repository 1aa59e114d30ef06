import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawGroups } from "../../src/stats/bootstrap.js";
import { bootstrapDifference, bootstrapInterval, foldKey, mix64, plcc, srcc, uniform } from "../../src/stats/index.js";
import { resampledPlcc, resampledSrcc } from "../../src/stats/resampled.js";

/** Points in a few values, so that ties and constant resamples occur, and how often each is drawn. */
const resample = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 5 }), fc.nat(3)), { maxLength: 30 })
  .map((points) => ({
    x: points.map(([x]) => x),
    y: points.map(([, y]) => y),
    counts: points.map(([, , count]) => count),
  }));

const repeated = (values: readonly number[], counts: readonly number[]): number[] =>
  values.flatMap((value, index) => Array.from({ length: counts[index]! }, () => value));

/** Noisy predictions of the numbers 0 to n - 1. */
const noisy = (n: number, noise: number, seed: number): { x: number[]; y: number[] } => ({
  x: Array.from({ length: n }, (_, index) => index / n + noise * (uniform(foldKey(mix64(BigInt(seed)), index)) - 0.5)),
  y: Array.from({ length: n }, (_, index) => index / n),
});

describe("correlations of a resample", () => {
  it("equal those of the points written out as often as they were drawn", () => {
    fc.assert(
      fc.property(resample, ({ x, y, counts }) => {
        for (const [fast, plain] of [
          [resampledSrcc(x, y)(counts), srcc(repeated(x, counts), repeated(y, counts))],
          [resampledPlcc(x, y)(counts), plcc(repeated(x, counts), repeated(y, counts))],
        ] as const) {
          if (plain === null) expect(fast).toBeNull();
          else expect(fast).toBeCloseTo(plain, 12);
        }
      }),
    );
  });
});

describe("a draw of groups", () => {
  it("takes the points of a group together, and as many groups as there are", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(6), { minLength: 1, maxLength: 40 }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (raw, key) => {
          const names = [...new Set(raw)];
          const groups = raw.map((one) => names.indexOf(one));
          const counts = drawGroups(groups, names.length, key);
          const perGroup = names.map((_, group) => counts[groups.indexOf(group)]!);
          expect(Array.from(counts)).toEqual(groups.map((group) => perGroup[group]));
          expect(perGroup.reduce((sum, count) => sum + count, 0)).toBe(names.length);
        },
      ),
    );
  });

  it("draws every group about equally often", () => {
    const drawn = [0, 0, 0, 0, 0];
    for (let key = 0; key < 4000; key += 1) {
      for (const [group, count] of drawGroups([0, 1, 2, 3, 4], 5, foldKey(9, key)).entries()) drawn[group]! += count;
    }
    for (const count of drawn) expect(Math.abs(count - 4000)).toBeLessThan(4 * Math.sqrt(4000 * 0.8));
  });
});

describe("a bootstrap interval", () => {
  it("is the same for the same seed, and another for another", () => {
    const { x, y } = noisy(60, 1, 1);
    expect(bootstrapInterval(x, y, { seed: 5 })).toEqual(bootstrapInterval(x, y, { seed: 5 }));
    expect(bootstrapInterval(x, y, { seed: 5 })).not.toEqual(bootstrapInterval(x, y, { seed: 6 }));
  });

  it("holds the correlation itself", () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.constantFrom("srcc" as const, "plcc" as const), (seed, statistic) => {
        const { x, y } = noisy(80, 1.5, seed);
        const { low, high, resamples } = bootstrapInterval(x, y, { seed, statistic, resamples: 200 })!;
        const value = (statistic === "srcc" ? srcc : plcc)(x, y)!;
        expect(low).toBeLessThan(value);
        expect(high).toBeGreaterThan(value);
        expect(resamples).toBe(200);
      }),
      { numRuns: 30 },
    );
  });

  it("covers the truth about as often as it says", () => {
    // Pairs with a correlation of sqrt(1/2): y is x plus noise of the same variance.
    const normal = (key: bigint): number =>
      Array.from({ length: 12 }, (_, part) => uniform(foldKey(key, part))).reduce((sum, value) => sum + value, -6);
    let covered = 0;
    for (let trial = 0; trial < 200; trial += 1) {
      const x = Array.from({ length: 60 }, (_, index) => normal(foldKey(mix64(BigInt(trial)), index, 0)));
      const y = x.map((value, index) => value + normal(foldKey(mix64(BigInt(trial)), index, 1)));
      const { low, high } = bootstrapInterval(x, y, { seed: trial, statistic: "plcc", resamples: 200 })!;
      if (low <= Math.SQRT1_2 && Math.SQRT1_2 <= high) covered += 1;
    }
    expect(covered / 200).toBeGreaterThan(0.88);
    expect(covered / 200).toBeLessThan(0.99);
  });

  it("is wider where points stand in groups that are drawn as a whole", () => {
    // Each of 10 photographs has its own offset, so that its 8 versions err together.
    const points = Array.from({ length: 80 }, (_, index) => index);
    const y = points.map((index) => uniform(foldKey(mix64(1n), index)));
    const x = points.map((index) => y[index]! + 2 * uniform(foldKey(mix64(2n), index % 10)));
    const groups = points.map((index) => `photo ${index % 10}`);
    const width = (interval: { low: number; high: number }): number => interval.high - interval.low;
    const grouped = bootstrapInterval(x, y, { seed: 3, groups })!;
    expect(width(grouped)).not.toBe(width(bootstrapInterval(x, y, { seed: 3 })!));
    // A group for every point is no group at all.
    expect(bootstrapInterval(x, y, { seed: 3, groups: points.map(String) })).toEqual(
      bootstrapInterval(x, y, { seed: 3 }),
    );
  });

  it("is null where the correlation is not defined, or there is one group only", () => {
    const { x, y } = noisy(20, 1, 1);
    expect(bootstrapInterval([], [], { seed: 1 })).toBeNull();
    expect(bootstrapInterval([1, 1, 1, 1], [1, 2, 3, 4], { seed: 1 })).toBeNull();
    expect(bootstrapInterval(x, y, { seed: 1, groups: x.map(() => "one") })).toBeNull();
    // Three points are rarely drawn as three different ones.
    expect(bootstrapInterval([1, 2, 3], [1, 2, 3], { seed: 1 })).toMatchObject({ low: 1, high: 1 });
  });

  it("refuses what makes no sense", () => {
    const { x, y } = noisy(20, 1, 1);
    expect(() => bootstrapInterval(x, y.slice(1), { seed: 1 })).toThrow(RangeError);
    expect(() => bootstrapInterval(x, y, { seed: 1, groups: ["a"] })).toThrow(RangeError);
    expect(() => bootstrapInterval(x, y, { seed: 1, resamples: 0 })).toThrow(RangeError);
    expect(() => bootstrapInterval(x, y, { seed: 1, level: 1 })).toThrow(RangeError);
  });
});

describe("a bootstrap difference", () => {
  it("is 0, without width, between a prediction and a rising map of it", () => {
    const { x, y } = noisy(50, 1, 4);
    const after = x.map((value) => Math.exp(value));
    expect(bootstrapDifference(x, after, y, { seed: 1 })).toEqual({ difference: 0, low: 0, high: 0, resamples: 1000 });
  });

  it("is the difference of the two, and its interval is narrower than theirs where they err together", () => {
    const { x, y } = noisy(60, 2, 8);
    const after = x.map((value, index) => value + 0.3 * (y[index]! - value));
    const found = bootstrapDifference(x, after, y, { seed: 1 })!;
    expect(found.difference).toBe(srcc(after, y)! - srcc(x, y)!);
    expect(found.low).toBeLessThan(found.difference);
    expect(found.high).toBeGreaterThan(found.difference);
    const alone = bootstrapInterval(x, y, { seed: 1 })!;
    expect(found.high - found.low).toBeLessThan((alone.high - alone.low) / 2);
    const back = bootstrapDifference(after, x, y, { seed: 1 })!;
    expect([back.low, back.high]).toEqual(
      [-found.high, -found.low].map((value) => expect.closeTo(value, 12) as number),
    );
  });
});
