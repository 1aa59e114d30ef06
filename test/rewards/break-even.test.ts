/**
 * Where fidelity begins to pay more than a constant answer would earn: the reason for `fidelity_warmup`.
 *
 * @module
 */
import { describe, expect, it } from "vitest";
import { batchSrcc, constantAnswerReward, fidelity, winProbability } from "../../src/rewards/index.js";
import { mean } from "../../src/stats/index.js";
import { readGolden } from "../golden/read.js";
import { rateImages, type RatedImage } from "../support/raters.js";

interface Golden {
  readonly cases: readonly {
    readonly correlation: number;
    readonly floor: number;
    readonly fidelity: number;
    readonly srcc: number;
  }[];
}

const BATCHES = 150;
const batches = (correlation: number): RatedImage[][] =>
  Array.from({ length: BATCHES }, (_, seed) => rateImages({ correlation, seed }));
const averageOf = (all: readonly RatedImage[][], of: (groups: readonly RatedImage[]) => number): number =>
  mean(all.map(of))!;

describe("what a policy earns whose scores follow the labels only so far", () => {
  it.each(readGolden<Golden>("break_even").cases)(
    "at correlation $correlation and variance floor $floor is a fidelity of $fidelity",
    ({ correlation, floor, fidelity: expected, srcc }) => {
      const all = batches(correlation);
      const options = { variance: floor === 0 ? "sample" : "floored", varianceFloor: floor } as const;
      // Standard errors over 150 batches: 0.006 and 0.02.
      const fidelities = averageOf(all, (groups) => mean(fidelity(groups, options).flat() as number[])!);
      expect(Math.abs(fidelities - expected)).toBeLessThan(0.02);
      expect(Math.abs(averageOf(all, (groups) => batchSrcc(groups)!) - srcc)).toBeLessThan(0.06);
    },
  );

  it("is less than a constant answer's .707 below a correlation of about .4, and a half of win probability at 0", () => {
    const surplus = (correlation: number): number =>
      averageOf(
        batches(correlation),
        (groups) => mean(fidelity(groups).flat() as number[])! - constantAnswerReward(groups)!,
      );
    expect(surplus(0)).toBeLessThan(-0.1);
    expect(surplus(0.35)).toBeLessThan(0);
    expect(surplus(0.5)).toBeGreaterThan(0.01);
    expect(averageOf(batches(0), (groups) => constantAnswerReward(groups)!)).toBeCloseTo(Math.SQRT1_2, 12);
    expect(averageOf(batches(0), (groups) => mean(winProbability(groups).flat() as number[])!)).toBeCloseTo(0.5, 1);
  });
});

describe("batchSrcc", () => {
  const rated = (mos: number, ...scores: (number | null)[]) => ({ dataset: "a", mos, scores });

  it("ranks the mean scores, without what could not be read", () => {
    expect(batchSrcc([rated(1, 1, null), rated(2, 2, 4), rated(3, 2), rated(4, null)])).toBe(0.5);
  });

  it("is taken within each data set and averaged over those that have one", () => {
    const other = [1, 2, 3].map((mos) => ({ dataset: "b", mos: 100 * mos, scores: [5 - mos] }));
    const pair = [1, 2].map((mos) => ({ dataset: "c", mos, scores: [mos] }));
    expect(batchSrcc([rated(1, 1), ...other, rated(2, 2), ...pair, rated(3, 3)])).toBe(0);
  });

  it("is null for a constant answer, equal labels or fewer than three images", () => {
    expect(batchSrcc([rated(1, 3), rated(2, 3), rated(3, 3)])).toBeNull();
    expect(batchSrcc([rated(1, 1), rated(1, 2), rated(1, 3)])).toBeNull();
    expect(batchSrcc([rated(1, 1), rated(2, 2)])).toBeNull();
    expect(batchSrcc([])).toBeNull();
  });
});
