import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fidelity } from "../../../src/rewards/index.js";
import { measure } from "../../../src/trainer/evaluation/measure.js";
import type { MeasureOptions } from "../../../src/trainer/evaluation/measure.js";
import { foldKey, mean, mix64, uniform } from "../../../src/stats/index.js";
import { readGolden } from "../../golden/read.js";
import { predictionsOf } from "./predictions.js";

interface Golden {
  cases: {
    name: string;
    pred: number[];
    mos: number[];
    expected: {
      srcc: number;
      krcc: number;
      plcc: number;
      logistic_fit: { tight_tol: { plcc: number; rmse: number } } | null;
    };
  }[];
  degenerate: { name: string; pred: number[]; mos: number[] }[];
}

const golden = readGolden<Golden>("metrics");
const OPTIONS: MeasureOptions = { bootstrap: 20, seed: 1, onMissing: "fail" };
const numbers = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, index) => 1 + 4 * uniform(foldKey(mix64(BigInt(seed)), index)));

describe("measure", () => {
  it.each(golden.cases)("gives SciPy's numbers on $name", ({ pred, mos, expected }) => {
    const found = measure(predictionsOf(pred, mos), OPTIONS);
    expect(found.srcc).toBeCloseTo(expected.srcc, 13);
    expect(found.krcc).toBeCloseTo(expected.krcc, 13);
    expect(found.plcc).toBeCloseTo(expected.plcc, 13);
    if (expected.logistic_fit === null) return;
    expect(found.fitted).toMatchObject({
      on: "test",
      plcc: expect.closeTo(expected.logistic_fit.tight_tol.plcc, 9) as number,
      rmse: expect.closeTo(expected.logistic_fit.tight_tol.rmse, 9) as number,
    });
  });

  it.each(golden.degenerate)("gives null with a reason on $name", ({ pred, mos }) => {
    const found = measure(predictionsOf(pred, mos), OPTIONS);
    for (const metric of ["srcc", "krcc", "plcc", "srccInterval", "plccInterval", "fitted"] as const) {
      expect(found[metric]).toBeNull();
      const fitted = metric === "fitted" && pred.length < 5;
      expect(found.reasons[metric]).toBe(
        fitted
          ? `only ${pred.length} pictures have a score and a label, and it takes 5`
          : `all predictions are ${pred[0]!}`,
      );
    }
  });

  it("says why, for labels that are equal, too few pictures, and one group", () => {
    const flat = measure(predictionsOf([1, 2, 3], [4, 4, 4]), OPTIONS);
    expect(flat.reasons).toMatchObject({ srcc: "all labels are 4", pairwiseAccuracy: "all labels are 4" });
    const few = measure(predictionsOf([1, 2], [1, 2]), OPTIONS);
    expect(few.reasons["plcc"]).toBe("only 2 pictures have a score and a label, and it takes 3");
    const one = measure(
      predictionsOf([1, 2, 3], [1, 2, 3], () => ({ group: "one" })),
      OPTIONS,
    );
    expect(one.srcc).toBe(1);
    expect(one.reasons["srccInterval"]).toBe("all pictures are of one group, and it takes two groups to draw from");
    expect(one.reasons["meanTypeSrcc"]).toBe("no picture with a score and a label has a type");
    expect(one.reasons).not.toHaveProperty("srcc");
  });

  it.each([
    ["no picture", predictionsOf([], [])],
    ["no score", predictionsOf([null, null, null], [1, 2, 3])],
    ["no label", predictionsOf([1, 2, 3], [null, null, null])],
    ["one picture", predictionsOf([1], [1])],
    ["one answer for all", predictionsOf([3, 3, 3, 3, 3], [1, 2, 3, 4, 5], () => ({ type: "a" }))],
    ["one label", predictionsOf([1, 2, 3, 4, 5], [3, 3, 3, 3, 3], (row) => ({ type: String(row) }))],
    ["a score that is not finite", predictionsOf([1, 2, Number.POSITIVE_INFINITY, 4, 5], [1, 2, 3, 4, 5])],
    ["two groups that are constant", predictionsOf([1, 1, 2, 2], [1, 1, 2, 2], (row) => ({ group: `${row >> 1}` }))],
    ["nothing wrong", predictionsOf(numbers(30, 1), numbers(30, 2))],
  ])("has a reason for every null, and for nothing else: %s", (_, predictions) => {
    const { reasons, types, ...figures } = measure(predictions, OPTIONS);
    const missing = Object.entries(figures).flatMap(([name, value]) => (value === null ? [name] : []));
    expect(Object.keys(reasons).toSorted()).toEqual(missing.toSorted());
    for (const type of types) expect(type.reason === null).toBe(type.srcc !== null);
  });

  it("says what each missing figure lacks", () => {
    const { reasons } = measure(predictionsOf([1, null], [1, 2]), OPTIONS);
    expect(reasons).toEqual({
      formatRate: "no answers were written; the expected score reads probabilities",
      meanTokens: "no answers were written; the expected score reads probabilities",
      spread: "only 1 picture has a score, and it takes 2",
      meanStd: "no picture has a deviation of its own, which takes two readable answers or an expected score",
      meanValidMass: "no picture has one; only the expected score does",
      srcc: "only 1 picture has a score and a label, and it takes 3",
      srccInterval: "only 1 picture has a score and a label, and it takes 3",
      krcc: "only 1 picture has a score and a label, and it takes 3",
      plcc: "only 1 picture has a score and a label, and it takes 3",
      plccInterval: "only 1 picture has a score and a label, and it takes 3",
      fitted: "only 1 picture has a score and a label, and it takes 5",
      pairwiseAccuracy: "only 1 picture has a score and a label, and it takes 2",
      meanTypeSrcc: "no picture with a score and a label has a type",
    });
    expect(measure(predictionsOf([1], [1]), OPTIONS).reasons["fidelity"]).toBe(
      "no two pictures of one data set can be compared: it takes labels, and scores to compare with",
    );
    // Half of all draws take one group twice; this seed's take more.
    const pairs = predictionsOf([1, 1, 2, 2], [1, 1, 2, 2], (row) => ({ group: `${row >> 1}` }));
    const found = measure(pairs, { ...OPTIONS, seed: 4 });
    expect(found.reasons["srccInterval"]).toBe("most resamples of the 2 groups have no correlation");
  });

  it("keeps the sign of a prediction that falls", () => {
    const found = measure(predictionsOf([3, 2, 1], [1, 2, 3]), OPTIONS);
    expect([found.srcc, found.krcc, found.plcc, found.pairwiseAccuracy]).toEqual([-1, -1, -1, 0]);
  });

  it("leaves ranks alone under a rising map", () => {
    fc.assert(
      fc.property(fc.nat(500), (seed) => {
        const [scores, labels] = [numbers(30, 2 * seed), numbers(30, 2 * seed + 1)];
        const before = measure(predictionsOf(scores, labels), OPTIONS);
        const after = measure(
          predictionsOf(
            scores.map((score) => Math.exp(score)),
            labels,
          ),
          OPTIONS,
        );
        for (const metric of ["srcc", "krcc", "pairwiseAccuracy", "srccInterval"] as const) {
          expect(after[metric]).toEqual(before[metric]);
        }
      }),
      { numRuns: 20 },
    );
  });

  it("leaves out what has no score or no label, and counts it", () => {
    const found = measure(predictionsOf([1, null, 3, 4, 2], [1, 2, 3, 4, null]), OPTIONS);
    expect(found).toMatchObject({ n: 5, labelled: 4, scored: 4, unparsable: 1, imputed: 0, srcc: 1 });
  });

  it("gives pictures without a score the end of the scale that hurts, where it is told to", () => {
    const predictions = predictionsOf([null, 2, 3, null], [1, 2, 3, 4]);
    const found = measure(predictions, { ...OPTIONS, onMissing: "worst" });
    expect(found).toMatchObject({ scored: 2, unparsable: 2, imputed: 2 });
    // 5, 2, 3, 1 against 1, 2, 3, 4.
    expect(found.srcc).toBeCloseTo(-0.8, 12);
    expect(predictions[0]!.score).toBeNull();
  });

  it("correlates within types, and averages over those where that is defined", () => {
    const types = ["b", "b", "b", "a", "a", "a", "c"];
    const found = measure(
      predictionsOf([1, 2, 3, 3, 2, 1, 2], [1, 2, 3, 1, 2, 3, 2], (row) => ({ type: types[row]! })),
      OPTIONS,
    );
    expect(found.types).toEqual([
      { type: "a", n: 3, srcc: -1, reason: null },
      { type: "b", n: 3, srcc: 1, reason: null },
      { type: "c", n: 1, srcc: null, reason: "only 1 picture has a score and a label, and it takes 3" },
    ]);
    expect(found.meanTypeSrcc).toBe(0);
  });

  it("has the mean fidelity that training pays for the same answers, and the constant answer's beside it", () => {
    const labels = numbers(12, 3);
    const scores = labels.map((_, row) => numbers(3, 50 + row));
    const answers = (row: number) =>
      scores[row]!.map((score) => ({
        text: "",
        score,
        status: "ok" as const,
        tokens: 5,
        cut: false,
        inFormat: true,
      }));
    const predictions = predictionsOf(
      scores.map((own) => mean(own)),
      labels,
      (row) => ({ estimator: "sampled", answers: answers(row) }),
    );
    const groups = labels.map((mos, row) => ({ dataset: "made", mos, scores: scores[row]! }));
    const floor = { variance: "floored" as const, varianceFloor: 0.4 };
    expect(measure(predictions, { ...OPTIONS, fidelity: floor }).fidelity).toEqual({
      mean: mean(
        fidelity(groups, floor)
          .flat()
          .map((value) => value!),
      ),
      constantAnswer: expect.closeTo(Math.SQRT1_2, 12) as number,
      variance: "answers",
      comparisonSet: null,
    });
  });

  it("compares single scores with a variance of 1, and many pictures in sets", () => {
    const labels = numbers(1200, 4);
    const found = measure(predictionsOf(labels, labels), OPTIONS).fidelity!;
    expect(found).toMatchObject({ variance: "fixed", comparisonSet: 256 });
    expect(found.mean).toBeGreaterThan(found.constantAnswer);
    // The order of the rows does not decide who meets whom.
    const sorted = labels.toSorted((a, b) => a - b);
    expect(measure(predictionsOf(sorted, sorted), OPTIONS).fidelity!.mean).toBeCloseTo(found.mean, 2);
  });
});
