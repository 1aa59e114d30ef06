import { describe, expect, it } from "vitest";
import { compareEvaluations } from "../../../src/index.js";
import { foldKey, mix64, uniform } from "../../../src/stats/index.js";
import { splitGain } from "../../../src/trainer/evaluation/ledger.js";
import { predictionsOf } from "./predictions.js";

const ROWS = Array.from({ length: 60 }, (_, row) => row);
const labels = ROWS.map((row) => 1 + row / 15);
const noisy = (noise: number, seed: number): number[] =>
  ROWS.map((row) => labels[row]! + noise * (uniform(foldKey(mix64(BigInt(seed)), row)) - 0.5));
const grouped = (row: number) => ({ group: `photo ${row % 12}` });

describe("compareEvaluations", () => {
  it("gives the rise of each estimator on each data set, with an interval that leaves out 0 where it is certain", () => {
    const before = [...predictionsOf(noisy(9, 1), labels, grouped), ...predictionsOf(noisy(9, 2), labels, expected)];
    const after = [...predictionsOf(noisy(1, 1), labels, grouped), ...predictionsOf(noisy(9, 3), labels, expected)];
    const [greedy, read] = compareEvaluations({ predictions: before }, { predictions: after }, { resamples: 200 });
    expect(greedy).toMatchObject({ dataset: "made", estimator: "greedy", n: 60 });
    expect(greedy!.difference).toBe(greedy!.after! - greedy!.before!);
    expect(greedy!.interval!.low).toBeGreaterThan(0.05);
    expect(read).toMatchObject({ estimator: "expected" });
    expect(read!.interval!.low).toBeLessThan(0);
    expect(read!.interval!.high).toBeGreaterThan(0);
  });
  const expected = (row: number) => ({ ...grouped(row), estimator: "expected" as const });

  it("compares the pictures that both have scored, and nothing where that is too little", () => {
    const some = (missing: number) => noisy(2, 4).map((score, row) => (row % 3 === missing ? null : score));
    const [found] = compareEvaluations(
      { predictions: predictionsOf(some(0), labels) },
      { predictions: predictionsOf(some(1), labels) },
      { resamples: 50 },
    );
    expect(found).toMatchObject({ n: 20, difference: 0 });
    const nothing = {
      predictions: predictionsOf(
        labels.map(() => null),
        labels,
      ),
    };
    expect(compareEvaluations(nothing, nothing)[0]).toMatchObject({
      n: 0,
      before: null,
      difference: null,
      interval: null,
      reasons: Object.fromEntries(
        ["before", "after", "difference", "interval"].map((name) => [
          name,
          "only 0 pictures have a score and a label, and it takes 3",
        ]),
      ),
    });
    const constant = {
      predictions: predictionsOf(
        labels.map(() => 2),
        labels,
      ),
    };
    const [fell] = compareEvaluations({ predictions: predictionsOf(labels, labels) }, constant);
    expect(fell).toMatchObject({ before: 1, after: null, difference: null, interval: null });
    expect(fell!.reasons).toEqual({
      after: "all predictions are 2",
      difference: "all predictions are 2",
      interval: "all predictions are 2",
    });
  });

  it("refuses other rows, other labels, and another number of them", () => {
    const one = { predictions: predictionsOf(labels, labels) };
    const code = { code: "EVAL_ROWS_DIFFER" };
    for (const other of [
      predictionsOf(labels, labels.toReversed()),
      predictionsOf(labels, labels, grouped),
      predictionsOf(labels, labels, (row) => ({ id: `x${row}` })),
      predictionsOf(labels.slice(1), labels.slice(1)),
      predictionsOf([...labels, 1], [...labels, 1]),
    ]) {
      expect(() => compareEvaluations(one, { predictions: other })).toThrow(expect.objectContaining(code) as Error);
    }
  });
});

describe("splitGain", () => {
  it("adds up: gain is sharpening plus reordering, over the pictures that all three scored", () => {
    const start = predictionsOf(
      noisy(8, 1).map((score, row) => (row === 0 ? null : score)),
      labels,
      grouped,
    );
    const sharpened = predictionsOf(noisy(5, 1), labels, grouped);
    const trained = predictionsOf(
      noisy(2, 2).map((score, row) => (row === 1 ? null : score)),
      labels,
      grouped,
    );
    const found = splitGain([start, sharpened, trained], { bootstrap: 100, seed: 1 });
    expect(found).toMatchObject({ n: 60, scored: 58 });
    expect(found.gain.difference).toBeCloseTo(found.sharpening.difference! + found.reordering.difference!, 12);
    expect(found.gain.difference).toBe(found.trained! - found.start!);
    expect(found.sharpening.difference).toBe(found.sharpened! - found.start!);
    expect(found.gain.interval!.low).toBeGreaterThan(0);
  });

  it("finds no reordering in a model that is its start at another temperature", () => {
    const [start, sharpened] = [noisy(8, 1), noisy(4, 1)].map((scores) => predictionsOf(scores, labels));
    const found = splitGain([start!, sharpened!, sharpened!], { bootstrap: 100, seed: 1 });
    expect(found.reordering).toEqual({
      difference: 0,
      interval: { low: 0, high: 0, resamples: 100 },
      reasons: {},
    });
    expect(found.sharpening.difference).toBe(found.gain.difference);
    expect(found.reasons).toEqual({});
  });

  it("says which of the three has no correlation, and what that takes with it", () => {
    const constant = predictionsOf(
      labels.map(() => 2),
      labels,
    );
    const sure = predictionsOf(noisy(2, 1), labels);
    const reason = "all predictions are 2";
    const found = splitGain([constant, sure, sure], { bootstrap: 100, seed: 1 });
    expect(found).toMatchObject({ start: null, gain: { difference: null }, sharpening: { difference: null } });
    expect(found.reasons).toEqual({ start: reason });
    expect([found.gain, found.sharpening, found.reordering].map(({ reasons }) => reasons)).toEqual([
      { difference: reason, interval: reason },
      { difference: reason, interval: reason },
      {},
    ]);
  });
});
