import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tape } from "../../src/losses/index.js";
import type { CustomLossInput, CustomLossResult, Operand, Scalar, Tape, Vector } from "../../src/losses/index.js";
import { readGolden } from "../golden/read.js";
import { finiteDifferences, lossInput } from "./loss-input.js";

type Unary = "neg" | "exp" | "log" | "log1p" | "sqrt" | "square" | "sigmoid" | "logSigmoid" | "normalCdf";
type Binary = "add" | "sub" | "mul" | "div" | "min" | "max";

const number = (min: number, max: number): fc.Arbitrary<number> => fc.double({ min, max, noNaN: true });
const numbers = (min: number, max: number, minLength = 1): fc.Arbitrary<number[]> =>
  fc.array(number(min, max), { minLength, maxLength: 8 });

/** The tape's derivative is that of the formula's values, up to the error of central differences. */
function expectExact(loss: (input: CustomLossInput) => CustomLossResult, input: CustomLossInput): void {
  const { derivative } = loss(input);
  const expected = finiteDifferences(loss, input);
  for (const [index, value] of expected.entries()) {
    const tolerance = 2e-6 * (1 + Math.abs(value));
    expect(Math.abs(derivative[index]! - value), `${derivative[index]} and ${value}`).toBeLessThan(tolerance);
  }
}

/** Different slopes arrive at every element of x, whatever x is. */
function mixed(t: Tape, x: Vector): Scalar {
  return t.sum(
    t.mul(
      x,
      Float64Array.from(x.values, (_, index) => 0.5 + index),
    ),
  );
}

describe("the derivative equals finite differences:", () => {
  it.each<[Unary, number, number]>([
    ["neg", -5, 5],
    ["exp", -5, 2],
    ["log", 0.2, 9],
    ["log1p", -0.8, 9],
    ["sqrt", 0.2, 9],
    ["square", -5, 5],
    ["sigmoid", -20, 20],
    ["logSigmoid", -20, 20],
    ["normalCdf", -6, 6],
  ])("%s", (name, low, high) => {
    const loss = tape((t, { policy }) => mixed(t, t[name](policy)));
    fc.assert(fc.property(numbers(low, high), (policy) => expectExact(loss, lossInput(policy))));
  });

  it.each<Binary>(["add", "sub", "mul", "div", "min", "max"])("%s of vectors, scalars and constants", (name) => {
    // Never equal, to each other or to the constants below, and never 0.
    const different = fc
      .uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: 10 })
      .map((found) => found.slice(0, 2 * Math.floor(found.length / 2)).map((one) => (one - 20.5) * 0.15));
    const loss = tape((t, { policy, weights }) => {
      const half = policy.values.length / 2;
      const [a, b] = [t.slice(policy, 0, half), t.slice(policy, half)];
      const [first, last] = [t.sum(t.slice(a, 0, 1)), t.sum(t.slice(b, half - 1))];
      const operation = t[name];
      const terms = [operation(a, b), operation(a, last), operation(first, b), operation(a, 0.7), operation(-0.7, b)];
      const constants = [operation(a, weights.subarray(0, half)), operation(weights.subarray(0, half), b)];
      return [...terms, ...constants].reduce<Scalar>((sum, term) => t.add(sum, mixed(t, term)), operation(first, last));
    });
    fc.assert(
      fc.property(different, (policy) => {
        expectExact(loss, lossInput(policy, { weights: new Float64Array(policy.length).fill(1.3) }));
      }),
    );
  });

  it("clamp, on both sides and inside", () => {
    const loss = tape((t, { policy }) => mixed(t, t.clamp(policy, -1, 0.5)));
    const away = number(-3, 3).filter((value) => Math.abs(value + 1) > 1e-3 && Math.abs(value - 0.5) > 1e-3);
    fc.assert(fc.property(fc.array(away, { minLength: 1 }), (policy) => expectExact(loss, lossInput(policy))));
  });

  it("where, in the branch that was chosen", () => {
    const loss = tape((t, { policy, advantages }) =>
      mixed(t, t.where(advantages, t.square(policy), t.mul(policy, t.sum(policy)))),
    );
    const cases = fc.array(fc.tuple(number(-3, 3), fc.boolean()), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(cases, (found) => {
        const advantages = Float64Array.from(found, ([, chosen]) => (chosen ? 2 : 0));
        expectExact(
          loss,
          lossInput(
            found.map(([value]) => value),
            { advantages },
          ),
        );
      }),
    );
  });

  it("sum, mean and slice", () => {
    const loss = tape((t, { policy }) =>
      t.mul(t.mean(t.square(policy)), t.add(t.sum(policy), t.sum(t.slice(policy, 1)))),
    );
    fc.assert(fc.property(numbers(-3, 3), (policy) => expectExact(loss, lossInput(policy))));
  });

  it.each(["segmentSum", "segmentMean", "segmentLogSumExp", "spread"] as const)("%s", (name) => {
    const loss = tape((t, { policy, completions }) => {
      if (name !== "spread") return mixed(t, t.square(t[name](policy, completions)));
      return mixed(t, t.mul(policy, t.spread(t.segmentMean(policy, completions), completions)));
    });
    const parts = fc.array(numbers(-3, 3), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(parts, (found) => {
        const offsets = found.reduce<number[]>((sum, part) => [...sum, sum.at(-1)! + part.length], [0]);
        expectExact(loss, lossInput(found.flat(), { completions: Int32Array.from(offsets) }));
      }),
    );
  });

  it("gather, with elements named several times or never", () => {
    const choice = numbers(-3, 3).chain((policy) =>
      fc.tuple(fc.constant(policy), fc.array(fc.nat(policy.length - 1), { minLength: 1, maxLength: 9 })),
    );
    fc.assert(
      fc.property(choice, ([policy, indices]) => {
        const loss = tape((t, input) => mixed(t, t.square(t.gather(input.policy, indices))));
        expectExact(loss, lossInput(policy));
      }),
    );
  });

  it("values used several times, and constants in between", () => {
    const loss = tape((t, { policy, old }) => {
      const ratio = t.exp(t.sub(policy, old));
      return t.add(t.mean(t.mul(ratio, t.log1p(ratio))), t.square(t.sum(ratio)));
    });
    fc.assert(fc.property(numbers(-2, 0), (policy) => expectExact(loss, lossInput(policy))));
  });
});

describe("values and derivatives equal PyTorch's, also at kinks and in tails:", () => {
  interface Golden {
    readonly operation: Unary | Binary | "clamp";
    readonly operands: number[];
    readonly value: number;
    readonly derivatives: number[];
  }
  const { cases } = readGolden<{ cases: Golden[] }>("tape");

  it.each([...new Set(cases.map(({ operation }) => operation))])("%s", (operation) => {
    for (const { operands, value, derivatives } of cases.filter((one) => one.operation === operation)) {
      const found = tape((t, { policy }) => {
        const [a, b] = operands.map((_, index) => t.slice(policy, index, index + 1));
        if (operation === "clamp") return t.sum(t.clamp(a!, 0, 1));
        return t.sum((t[operation] as (...given: (Operand | undefined)[]) => Vector)(a, b));
      })(lossInput(operands));
      const all = [found.loss, ...found.derivative];
      for (const [index, expected] of [value, ...derivatives].entries()) {
        const difference = Math.abs(all[index]! - expected);
        // PyTorch's ndtr ends at 0 before the tail does.
        const tolerance = 1e-13 * Math.abs(expected) + (operation === "normalCdf" ? 1e-15 : 0);
        expect(difference, `${operation}(${operands.join(", ")}): ${all.join(", ")}`).toBeLessThanOrEqual(tolerance);
      }
    }
  });
});

describe("stopGradient", () => {
  it("keeps the value and ends the way back", () => {
    const loss = tape((t, { policy }) => t.sum(t.mul(policy, t.stopGradient(t.exp(policy)))));
    const { derivative } = loss(lossInput([-1, -2]));
    expect([...derivative]).toEqual([Math.exp(-1), Math.exp(-2)]);
  });
});

describe("where", () => {
  it("keeps an infinite slope of the other branch out", () => {
    const loss = tape((t, { policy }) =>
      t.sum(
        t.where(
          Array.from(policy.values, (value) => value > 0),
          t.log(t.max(policy, 0)),
          policy,
        ),
      ),
    );
    expect([...loss(lossInput([2, -3])).derivative]).toEqual([0.5, 1]);
  });
});

describe("a formula is refused", () => {
  const refused = (formula: (t: Tape, policy: Vector) => unknown, message: RegExp): void => {
    const loss = tape((t, { policy }) => formula(t, policy) as Scalar);
    let error: unknown;
    try {
      loss(lossInput([1, 2, 3]));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({
      name: "LossError",
      code: "LOSS_SHAPE",
      message: expect.stringMatching(message) as string,
    });
  };

  it("with vectors of different lengths", () => {
    refused((t, policy) => t.add(policy, Float64Array.of(1, 2)), /^add was given a vector of 3 and one of 2/);
    refused((t, policy) => t.where([true], policy, 0), /^where was given a vector of 1 and one of 3/);
  });

  it("that ends in a vector, a constant, or nothing", () => {
    refused((_, policy) => policy, /returned a vector; end it with sum or mean/);
    refused((t, policy) => t.sum(t.stopGradient(policy)), /returned a constant/);
    refused(() => undefined, /takes numbers, Float64Arrays and values of the tape, not undefined/);
  });

  it("with operands of another kind", () => {
    refused((t, policy) => t.mul(policy, [1, 2, 3] as never), /^mul takes numbers.*not a Array/);
    refused((t) => t.sum(3 as never), /^sum takes a vector/);
    refused((t) => t.mean(new Float64Array(0)), /^mean was given a vector without elements/);
    refused((t, policy) => t.clamp(policy, 1, Number.NaN), /^clamp needs low <= high/);
  });

  it("with segments that do not fit", () => {
    refused((t, policy) => t.segmentSum(policy, Int32Array.of(0, 2)), /a vector of 3 and segments of 2 elements/);
    refused((t, policy) => t.segmentSum(policy, Int32Array.of(1, 3)), /begin with 0 and never fall/);
    refused((t, policy) => t.segmentSum(policy, Int32Array.of(0, 3, 2, 3)), /begin with 0 and never fall/);
    refused((t, policy) => t.segmentSum(policy, new Int32Array(0)), /begin with 0 and never fall/);
    refused((t, policy) => t.segmentMean(policy, Int32Array.of(0, 0, 3)), /no value for segment 0/);
    refused((t, policy) => t.spread(policy, Int32Array.of(0, 3)), /3 values for 1 segments/);
  });

  it("with elements that are not there", () => {
    refused((t, policy) => t.gather(policy, [0, 3]), /asks for element 3 \(at 1\) of a vector of 3/);
    refused((t, policy) => t.slice(policy, 2, 4), /from 2 to 4 leaves a vector of 3/);
  });

  it("with values of another call", () => {
    let kept: Vector | undefined;
    const loss = tape((t, { policy }) => t.sum(t.add((kept ??= policy), policy)));
    expect(loss(lossInput([1])).derivative).toEqual(Float64Array.of(2));
    expect(() => loss(lossInput([1]))).toThrow(/^add was given a value of another call of the formula/);
  });
});
