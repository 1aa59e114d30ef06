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
      expect(found.reasons[metric]).toBe(`all predictions are ${pred[0]!}`);
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
    expect(one.reasons["srccInterval"]).toContain("fewer than two groups");
    expect(one.reasons["meanTypeSrcc"]).toBe("the rows have no type");
    expect(one.reasons).not.toHaveProperty("srcc");
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
      { type: "a", n: 3, srcc: -1 },
      { type: "b", n: 3, srcc: 1 },
      { type: "c", n: 1, srcc: null },
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
