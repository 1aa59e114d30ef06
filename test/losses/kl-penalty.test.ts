import { expect, it } from "vitest";
import { klOfCompletions } from "../../src/losses/index.js";
import { readGolden } from "../golden/read.js";

interface Golden {
  kl: { policy: number[]; reference: number[]; k1: number; k2: number; k3: number }[];
}

/** d = reference - policy: 0.5 and -1 in one completion, 0 in another, none in the last. */
const policy = [[-1, -2], [-3], []];
const reference = [[-0.5, -3], [-3], []];

it.each([
  ["k1", [-0.5 + 1, 0, 0]],
  ["k2", [0.125 + 0.5, 0, 0]],
  ["k3", [Math.exp(0.5) - 1.5 + Math.exp(-1), 0, 0]],
] as const)("%s is summed over the tokens of each completion", (estimator, expected) => {
  klOfCompletions(policy, reference, estimator).forEach((kl, index) => expect(kl).toBeCloseTo(expected[index]!, 12));
});

it.each(["k1", "k2", "k3"] as const)("%s equals NumPy's sums", (estimator) => {
  const { kl } = readGolden<Golden>("advantages");
  const found = klOfCompletions(
    kl.map((given) => given.policy),
    kl.map((given) => given.reference),
    estimator,
  );
  kl.forEach((given, index) => expect(found[index]).toBeCloseTo(given[estimator], 11));
});

it("estimates the KL divergence: on average over the policy's own draws k1 and k3 are it", () => {
  const p = [0.5, 0.3, 0.2];
  const q = [0.2, 0.2, 0.6];
  const exact = p.reduce((sum, value, token) => sum + value * Math.log(value / q[token]!), 0);
  for (const estimator of ["k1", "k3"] as const) {
    const mean = p.reduce(
      (sum, value, token) => sum + value * klOfCompletions([[Math.log(value)]], [[Math.log(q[token]!)]], estimator)[0]!,
      0,
    );
    expect(mean).toBeCloseTo(exact, 12);
  }
});

it("refuses tables of different shape", () => {
  expect(() => klOfCompletions([[1]], [[1, 2]])).toThrow(RangeError);
});
