import { describe, expect, it } from "vitest";
import { fitLogistic, foldKey, uniform } from "../../src/stats/index.js";
import { readGolden } from "../golden/read.js";

interface Fit {
  plcc: number;
  rmse: number;
  params: number[];
}
interface Golden {
  cases: { name: string; pred: number[]; mos: number[]; expected: { logistic_fit: { tight_tol: Fit } | null } }[];
}

const fitted = readGolden<Golden>("metrics").cases.filter(({ expected }) => expected.logistic_fit !== null);
const x = Array.from({ length: 40 }, (_, index) => 1 + index / 10);
const curve = (value: number): number => (90 - 5) / (1 + Math.exp(-(value - 2.7) / 0.6)) + 5;

describe("fitLogistic", () => {
  it.each(fitted)("equals SciPy's curve_fit on $name", ({ pred, mos, expected }) => {
    const { plcc, rmse, params } = expected.logistic_fit!.tight_tol;
    const fit = fitLogistic(pred, mos)!;
    expect(fit.plcc).toBeCloseTo(plcc, 10);
    expect(fit.rmse).toBeCloseTo(rmse, 10);
    fit.parameters.forEach((parameter, index) => expect(parameter / params[index]!).toBeCloseTo(1, 4));
  });

  it("finds the curve that made the points", () => {
    const fit = fitLogistic(x, x.map(curve))!;
    [90, 5, 2.7, 0.6].forEach((parameter, index) => expect(fit.parameters[index]).toBeCloseTo(parameter, 6));
    expect(fit.rmse).toBeLessThan(1e-6);
    expect(fit.predict(2.7)).toBeCloseTo(47.5, 6);
  });

  it("finds a falling curve too, with a positive width", () => {
    const fit = fitLogistic(
      x,
      x.map((value) => -curve(value)),
    )!;
    expect(fit.rmse).toBeLessThan(1e-6);
    expect(fit.parameters[3]).toBeCloseTo(0.6, 6);
    expect(fit.parameters[0]).toBeLessThan(fit.parameters[1]);
  });

  it("is never worse than the straight line it can imitate", () => {
    const noisy = x.map((value, index) => value + uniform(foldKey(3, index)) - 0.5);
    const fit = fitLogistic(x, noisy)!;
    const line = Math.sqrt(noisy.reduce((sum, value, index) => sum + (value - x[index]!) ** 2, 0) / x.length);
    expect(fit.rmse).toBeLessThan(line);
  });

  it("is null for fewer than five points, a constant side or values that are not finite", () => {
    expect(fitLogistic([1, 2, 3, 4], [1, 2, 3, 5])).toBeNull();
    expect(fitLogistic([1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6])).toBeNull();
    expect(fitLogistic([1, 2, 3, 4, 5, 6], [2, 2, 2, 2, 2, 2])).toBeNull();
    expect(fitLogistic([1, 2, 3, 4, 5, Number.NaN], [1, 2, 3, 4, 5, 6])).toBeNull();
  });
});
