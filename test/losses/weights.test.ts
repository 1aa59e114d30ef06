import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { groupAdvantages } from "../../src/advantages/index.js";
import { ConfigError } from "../../src/errors.js";
import { tokenWeights, type Normaliser } from "../../src/losses/index.js";
import { readGolden } from "../golden/read.js";
import { weightedLoss, type Token } from "./weighted-loss.js";

type Table = number[][];

interface GrpoCase {
  name: string;
  epsilon_low: number;
  epsilon_high: number;
  beta: number;
  rewards: Table;
  logp_new: Table;
  logp_old: Table | null;
  logp_ref: Table | null;
  mask: Table;
  expected_f64: { total_loss: number; grad_logp_new: Table };
}

interface TrlCase {
  loss_type: string;
  seed: number;
  epsilon: number;
  epsilon_high: number;
  delta: number | null;
  quantile: number;
  level: string;
  beta: number;
  max_completion_length: number;
  logp_new: Table;
  logp_old: Table | null;
  logp_ref: Table | null;
  mask: Table;
  advantages: number[];
  loss: number;
  grad_logp_new: Table;
}

/** TRL's names; bnpo over one undivided batch is dapo. */
const normalisers: Record<string, Normaliser> = { grpo: "grpo", bnpo: "dapo", dapo: "dapo", dr_grpo: "dr_grpo" };
const trl = readGolden<{ cases: TrlCase[] }>("trl_losses").cases.filter(
  ({ loss_type, delta, quantile, level }) =>
    loss_type in normalisers && delta === null && quantile === 1 && level === "token",
);
const grpo = readGolden<{ cases: GrpoCase[] }>("grpo").cases;

function maskedTokens(given: GrpoCase | TrlCase, advantages: number[], weights: number[]): Token[] {
  return given.mask.flatMap((row, sequence) =>
    row.flatMap((kept, position) => {
      if (kept === 0) return [];
      return {
        weight: weights[sequence]!,
        advantage: advantages[sequence]!,
        logprob: given.logp_new[sequence]![position]!,
        old: given.logp_old?.[sequence]![position],
        reference: given.logp_ref?.[sequence]![position],
      };
    }),
  );
}

function masked(table: Table, mask: Table): number[] {
  return table.flatMap((row, sequence) => row.filter((_, position) => mask[sequence]![position] !== 0));
}

function expectClose(values: readonly number[], expected: readonly number[]): void {
  expect(values.length).toBe(expected.length);
  values.forEach((value, index) => expect(Math.abs(value - expected[index]!)).toBeLessThan(1e-9));
}

const lengthsOf = (mask: Table): number[] => mask.map((row) => row.reduce((sum, kept) => sum + kept, 0));

describe("token weights with the clip surrogate and k3", () => {
  it.each(grpo)("give the reference's loss and gradient on $name", (given) => {
    const advantages = groupAdvantages(given.rewards).flat();
    const tokens = maskedTokens(given, advantages, tokenWeights(lengthsOf(given.mask)));
    const spec = { epsilon: given.epsilon_low, epsilonHigh: given.epsilon_high, beta: given.beta };
    const { loss, gradient } = weightedLoss(tokens, spec);
    expectClose([loss], [given.expected_f64.total_loss]);
    expectClose(gradient, masked(given.expected_f64.grad_logp_new, given.mask));
  });

  it.each(trl)("give TRL's loss and gradient for $loss_type (seed $seed)", (given) => {
    const weights = tokenWeights(lengthsOf(given.mask), {
      normaliser: normalisers[given.loss_type]!,
      maxCompletionLength: given.max_completion_length,
    });
    const tokens = maskedTokens(given, given.advantages, weights);
    const spec = { epsilon: given.epsilon, epsilonHigh: given.epsilon_high, beta: given.beta };
    const { loss, gradient } = weightedLoss(tokens, spec);
    expectClose([loss], [given.loss]);
    expectClose(gradient, masked(given.grad_logp_new, given.mask));
  });

  it("covers every normaliser against TRL", () => {
    expect(new Set(trl.map(({ loss_type }) => loss_type))).toEqual(new Set(["grpo", "bnpo", "dr_grpo", "dapo"]));
  });

  it("leave loss and gradient alone however the update is split", () => {
    const token = fc.record({
      weight: fc.double({ min: 0, max: 1, noNaN: true }),
      advantage: fc.double({ min: -2, max: 2, noNaN: true }),
      logprob: fc.double({ min: -5, max: 0, noNaN: true }),
      old: fc.option(fc.double({ min: -5, max: 0, noNaN: true }), { nil: undefined }),
      reference: fc.double({ min: -5, max: 0, noNaN: true }),
    });
    const spec = { epsilon: 0.2, epsilonHigh: 0.28, beta: 0.04 };
    fc.assert(
      fc.property(fc.array(token, { maxLength: 30 }), fc.nat(30), fc.nat(30), (tokens, a, b) => {
        const [first, second] = [Math.min(a, b), Math.max(a, b)];
        const parts = [tokens.slice(0, first), tokens.slice(first, second), tokens.slice(second)];
        const split = parts.map((part) => weightedLoss(part, spec));
        const whole = weightedLoss(tokens, spec);
        expect(split.flatMap(({ gradient }) => gradient)).toEqual(whole.gradient);
        expect(split.reduce((sum, { loss }) => sum + loss, 0)).toBeCloseTo(whole.loss, 9);
      }),
    );
  });
});

describe("tokenWeights", () => {
  const lengths = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 20 });
  const totalOf = (weights: readonly number[], tokens: readonly number[]): number =>
    weights.reduce((sum, weight, index) => sum + weight * tokens[index]!, 0);

  it("states its three normalisers", () => {
    expect(tokenWeights([2, 4])).toEqual([1 / 4, 1 / 8]);
    expect(tokenWeights([2, 4], { normaliser: "dapo" })).toEqual([1 / 6, 1 / 6]);
    expect(tokenWeights([2, 4], { normaliser: "dr_grpo", maxCompletionLength: 10 })).toEqual([1 / 20, 1 / 20]);
    expect(tokenWeights([])).toEqual([]);
  });

  it("adds up to 1 over completions (grpo, those with tokens) and over tokens (dapo)", () => {
    fc.assert(
      fc.property(lengths, (tokens) => {
        const filled = tokens.filter((length) => length > 0).length;
        expect(totalOf(tokenWeights(tokens), tokens)).toBeCloseTo(filled / tokens.length, 12);
        const dapo = totalOf(tokenWeights(tokens, { normaliser: "dapo" }), tokens);
        expect(dapo).toBeCloseTo(filled > 0 ? 1 : 0, 12);
        const options = { normaliser: "dr_grpo", maxCompletionLength: 50 } as const;
        const share = tokens.reduce((sum, length) => sum + length, 0) / (tokens.length * 50);
        expect(totalOf(tokenWeights(tokens, options), tokens)).toBeCloseTo(share, 12);
      }),
    );
  });

  it("weighs truncated completions 0, which still count among the completions", () => {
    const truncated = [false, true, false];
    expect(tokenWeights([2, 4, 4], { truncated })).toEqual([1 / 6, 0, 1 / 12]);
    expect(tokenWeights([2, 4, 4], { truncated, normaliser: "dapo" })).toEqual([1 / 6, 0, 1 / 6]);
    expect(tokenWeights([4], { truncated: [true], normaliser: "dapo" })).toEqual([0]);
    expect(() => tokenWeights([1, 2], { truncated: [true] })).toThrow(RangeError);
  });

  it("refuses dr_grpo without the longest length", () => {
    expect(() => tokenWeights([1], { normaliser: "dr_grpo" })).toThrow(ConfigError);
    expect(() => tokenWeights([1], { normaliser: "dr_grpo", maxCompletionLength: 0 })).toThrow(ConfigError);
  });
});
