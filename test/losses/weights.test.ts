import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/errors.js";
import { tokenWeights } from "../../src/losses/index.js";

describe("tokenWeights", () => {
  const lengths = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 20 });
  const totalOf = (weights: readonly number[], tokens: readonly number[]): number =>
    weights.reduce((sum, weight, index) => sum + weight * tokens[index]!, 0);

  it("states its normalisers", () => {
    expect(tokenWeights([2, 4])).toEqual([1 / 4, 1 / 8]);
    expect(tokenWeights([2, 4], { normaliser: "dapo" })).toEqual([1 / 6, 1 / 6]);
    expect(tokenWeights([2, 4], { normaliser: "dr_grpo", maxCompletionLength: 10 })).toEqual([1 / 20, 1 / 20]);
    expect(tokenWeights([2, 4], { normaliser: "luspo" })).toEqual([1 / 2, 1 / 2]);
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
