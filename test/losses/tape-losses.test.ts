import { describe, expect, it } from "vitest";
import { tape, tokenWeights } from "../../src/losses/index.js";
import type { CustomLoss, CustomLossInput, CustomLossResult, Normaliser } from "../../src/losses/index.js";
import { grpoLoss } from "../../examples/grpo-by-hand.js";
import { dpoLoss, preferences } from "../../examples/dpo.js";
import { rankingLoss } from "../../examples/pairwise-ranking.js";
import { normalCdf } from "../../src/stats/index.js";
import { readGolden } from "../golden/read.js";
import { finiteDifferences, lossInput } from "./loss-input.js";

type Table = number[][];

interface TrlCase {
  readonly loss_type: string;
  readonly seed: number;
  readonly epsilon: number;
  readonly epsilon_high: number;
  readonly delta: number | null;
  readonly sapo: [positive: number, negative: number];
  readonly quantile: number;
  readonly level: string;
  readonly beta: number;
  readonly max_completion_length: number;
  readonly logp_new: Table;
  readonly logp_old: Table | null;
  readonly logp_ref: Table | null;
  readonly mask: Table;
  readonly advantages: number[];
  readonly loss: number;
  readonly grad_logp_new: Table;
}

const NORMALISERS: Readonly<Record<string, Normaliser>> = {
  grpo: "grpo",
  sapo: "grpo",
  bnpo: "dapo",
  dapo: "dapo",
  cispo: "dapo",
  dr_grpo: "dr_grpo",
};
const cases = readGolden<{ cases: TrlCase[] }>("trl_losses").cases.filter(
  ({ loss_type, quantile }) => loss_type in NORMALISERS && quantile === 1,
);

const kept = (table: Table, mask: Table): number[] =>
  table.flatMap((row, sequence) => row.filter((_, position) => mask[sequence]![position] !== 0));

function inputOf(given: TrlCase): CustomLossInput {
  const lengths = given.mask.map((row) => row.reduce((sum, one) => sum + one, 0));
  const weights = tokenWeights(lengths, {
    normaliser: NORMALISERS[given.loss_type]!,
    maxCompletionLength: given.max_completion_length,
  });
  const perToken = (values: readonly number[]): Float64Array =>
    Float64Array.from(lengths.flatMap((length, sequence) => Array<number>(length).fill(values[sequence]!)));
  const policy = kept(given.logp_new, given.mask);
  return lossInput(policy, {
    old: Float64Array.from(given.logp_old === null ? policy : kept(given.logp_old, given.mask)),
    reference: Float64Array.from(given.logp_ref === null ? policy : kept(given.logp_ref, given.mask)),
    advantages: perToken(given.advantages),
    weights: perToken(weights),
    completions: Int32Array.from(lengths.reduce<number[]>((sum, length) => [...sum, sum.at(-1)! + length], [0])),
  });
}

/** TRL's losses as one would write them on a tape. */
const written = (given: TrlCase): ((input: CustomLossInput) => CustomLossResult) =>
  tape((t, { policy, old, reference, advantages, weights, completions }) => {
    const change = t.sub(policy, old);
    const sequence = (): typeof change => t.spread(t.segmentMean(change, completions), completions);
    const ratio = t.exp(given.level === "sequence" ? sequence() : change);
    const surrogate = (): typeof ratio => {
      if (given.loss_type === "cispo") {
        const capped = t.stopGradient(t.min(ratio, given.epsilon_high));
        return t.mul(t.mul(capped, advantages), policy);
      }
      if (given.loss_type === "sapo") {
        const tau = t.where(advantages.map((value) => (value > 0 ? 1 : 0)), ...given.sapo); // prettier-ignore
        return t.mul(advantages, t.div(t.mul(4, t.sigmoid(t.mul(tau, t.sub(ratio, 1)))), tau));
      }
      const clipped = t.clamp(ratio, 1 - given.epsilon, 1 + given.epsilon_high);
      const capped = given.delta === null ? ratio : t.min(ratio, given.delta);
      return t.min(t.mul(capped, advantages), t.mul(clipped, advantages));
    };
    const gap = t.sub(reference, policy);
    const kl = t.sub(t.exp(gap), t.add(gap, 1));
    return t.sum(t.mul(weights, t.sub(t.mul(given.beta, kl), surrogate())));
  });

describe("written on a tape,", () => {
  it.each(cases)(
    "$loss_type per $level, delta $delta, beta $beta, equals TRL's loss and gradient (seed $seed)",
    (given) => {
      const { loss, derivative } = written(given)(inputOf(given));
      expect(Math.abs(loss - given.loss)).toBeLessThan(1e-9);
      const expected = kept(given.grad_logp_new, given.mask);
      expect(derivative.length).toBe(expected.length);
      for (const [index, value] of expected.entries()) expect(Math.abs(derivative[index]! - value)).toBeLessThan(1e-9);
    },
  );

  it("all of the shapes above are there", () => {
    expect(new Set(cases.map(({ loss_type }) => loss_type))).toEqual(new Set(Object.keys(NORMALISERS)));
    expect(cases.some(({ level }) => level === "sequence") && cases.some(({ delta }) => delta !== null)).toBe(true);
  });
});

/** The examples' losses are synchronous. */
const evaluated = (loss: CustomLoss, input: CustomLossInput): CustomLossResult => loss(input) as CustomLossResult;

describe("the losses of the examples", () => {
  it("grpo-by-hand is TRL's grpo", () => {
    const given = cases.find(({ loss_type, level, beta }) => loss_type === "grpo" && level === "sequence" && beta > 0)!;
    const token = { ...given, level: "token", beta: 0.1 };
    const input = inputOf(token);
    const found = evaluated(grpoLoss({ epsilon: token.epsilon, beta: token.beta }), input);
    const expected = written(token)(input);
    expect(found.loss).toBeCloseTo(expected.loss, 14);
    for (const [index, value] of expected.derivative.entries()) expect(found.derivative[index]).toBeCloseTo(value, 14);
  });

  it("dpo is the paper's loss and gradient, worked out by hand", () => {
    // Two pairs of completions of two tokens; the gains are 0.5, -0.25, 0.1 and 0.3.
    const reference = Float64Array.of(-1, -2, -1, -1, -3, -1, -2, -2);
    const policy = [-0.75, -1.75, -1.25, -1, -3, -0.9, -1.85, -1.85];
    const pairs = preferences([
      [2, 1],
      [null, 1],
      [0, 3],
    ]);
    expect(pairs).toEqual([
      { chosen: 0, rejected: 1 },
      { chosen: 5, rejected: 4 },
    ]);
    const completions = Int32Array.of(0, 2, 4, 4, 4, 6, 8);
    const found = evaluated(dpoLoss(pairs, 0.2), lossInput(policy, { reference, completions }));
    const margins = [0.2 * 0.75, 0.2 * 0.2];
    expect(found.loss).toBeCloseTo(margins.reduce((sum, margin) => sum + Math.log1p(Math.exp(-margin)), 0) / 2, 12);
    const slopes = margins.map((margin) => 0.2 / (1 + Math.exp(margin)) / 2);
    const expected = [-slopes[0]!, slopes[0]!, slopes[1]!, -slopes[1]!].flatMap((slope) => [slope, slope]);
    for (const [index, value] of expected.entries()) expect(found.derivative[index]).toBeCloseTo(value, 12);
  });

  it("pairwise-ranking is 1 - fidelity over pairs, and its gradient is exact", () => {
    // One token per answer. The first picture's answer is 1 or 3, the second's 5, with the masses unnormalised.
    const policy = [Math.log(0.1), -40, Math.log(0.3), -40, -40, -40, -40, -40, -40, Math.log(0.01)];
    const completions = Int32Array.from({ length: 11 }, (_, index) => index);
    const input = lossInput(policy, { completions, groups: Int32Array.of(0, 5, 10) });
    const [mean, variance] = [2.5, 0.25 * 2.25 + 0.75 * 0.25];
    const inOrder = normalCdf((5 - mean) / Math.sqrt(variance + 0.1));
    const loss = rankingLoss([1.5, 4]);
    expect(evaluated(loss, input).loss).toBeCloseTo(1 - Math.sqrt(inOrder), 12);

    const spread = { ...input, policy: Float64Array.of(-1, -2, -1.5, -4, -3, -3, -1, -2, -2.5, -1) };
    const numeric = finiteDifferences((one) => evaluated(loss, one), spread);
    const { derivative } = evaluated(loss, spread);
    for (const [index, value] of numeric.entries()) expect(derivative[index]).toBeCloseTo(value, 8);
    expect(Math.max(...derivative.map(Math.abs))).toBeGreaterThan(0.01);
  });
});
