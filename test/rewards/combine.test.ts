import { describe, expect, it } from "vitest";
import { z } from "zod";
import { ConfigError } from "../../src/errors.js";
import {
  builtInRewards,
  checkRewards,
  combineRewards,
  defineReward,
  isReward,
  type RewardDefinition,
} from "../../src/rewards/index.js";

const brief = defineReward({ name: "brief", score: ({ completion }) => (completion.tokenIds.length < 40 ? 1 : 0) });

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    return error instanceof ConfigError ? error.code : `not a ConfigError: ${String(error)}`;
  }
  return undefined;
}

describe("defineReward", () => {
  it("makes a frozen reward that is known as one", () => {
    expect(isReward(brief)).toBe(true);
    expect(Object.isFrozen(brief)).toBe(true);
    expect([isReward(null), isReward({ name: "brief" }), isReward("brief")]).toEqual([false, false, false]);
  });

  it("refuses no scope, two scopes and a scope that is no function", () => {
    const define = (definition: object) => () => defineReward(definition as RewardDefinition<z.ZodType>);
    expect(codeOf(define({ name: "none" }))).toBe("CONFIG_REWARD_SCOPE");
    expect(codeOf(define({ name: "two", score: () => 1, scoreBatch: () => [] }))).toBe("CONFIG_REWARD_SCOPE");
    expect(codeOf(define({ name: "text", score: "1" }))).toBe("CONFIG_REWARD_SCOPE");
    expect(define({ name: "two", score: () => 1, scoreBatch: () => [] })).toThrow(/score and scoreBatch/);
  });

  it("refuses a name that metrics cannot carry", () => {
    for (const name of ["", "a/b", "two words"]) {
      expect(codeOf(() => defineReward({ name, score: () => 1 }))).toBe("CONFIG_REWARD_NAME");
    }
  });
});

describe("combineRewards", () => {
  it("takes the keyed record", () => {
    const set = combineRewards({ fidelity: 1, format: 0.5, brief: { reward: brief, weight: 0.2 } });
    expect(set.map(({ name, weight }) => [name, weight])).toEqual([
      ["fidelity", 1],
      ["format", 0.5],
      ["brief", 0.2],
    ]);
  });

  it("takes a list, and weighs 1 what has no weight", () => {
    const set = combineRewards(["fidelity", brief, { reward: "format", weight: -0.5 }]);
    expect(set.map(({ name, weight }) => [name, weight])).toEqual([
      ["fidelity", 1],
      ["brief", 1],
      ["format", -0.5],
    ]);
    expect(combineRewards({ brief })).toEqual([{ name: "brief", reward: brief, weight: 1 }]);
  });

  it("lets the key rename an own reward", () => {
    expect(combineRewards({ short: { reward: brief } })[0]).toEqual({ name: "short", reward: brief, weight: 1 });
  });

  it("knows every built-in reward, and accuracy as another name of fidelity", () => {
    const names = [
      "format",
      "fidelity",
      "win_probability",
      "binary",
      "margin",
      "threshold",
      "regression",
      "distortion",
      "overlong",
    ];
    expect(Object.keys(builtInRewards)).toEqual(names);
    expect(combineRewards(names).map(({ name }) => name)).toEqual(names);
    expect(combineRewards({ accuracy: 1 })[0]!.name).toBe("fidelity");
  });

  it("refuses duplicates, unknown names, bad weights and nothing at all", () => {
    expect(codeOf(() => combineRewards(["format", "format"]))).toBe("CONFIG_REWARD_TWICE");
    expect(codeOf(() => combineRewards({ accuracy: 1, fidelity: 1 }))).toBe("CONFIG_REWARD_TWICE");
    expect(codeOf(() => combineRewards([brief, brief]))).toBe("CONFIG_REWARD_TWICE");
    expect(codeOf(() => combineRewards({ fidelty: 1 }))).toBe("CONFIG_REWARD_UNKNOWN");
    expect(codeOf(() => combineRewards({ toString: 1 }))).toBe("CONFIG_REWARD_UNKNOWN");
    expect(codeOf(() => combineRewards({ format: Number.NaN }))).toBe("CONFIG_REWARD_WEIGHT");
    expect(codeOf(() => combineRewards({ brief: { reward: brief, weight: Infinity } }))).toBe("CONFIG_REWARD_WEIGHT");
    expect(codeOf(() => combineRewards({}))).toBe("CONFIG_REWARD_NONE");
    expect(() => combineRewards({ fidelty: 1 })).toThrow(/Known are format, fidelity, .*accuracy/);
  });
});

describe("checkRewards", () => {
  it("refuses a plan in which pictures cannot be compared", () => {
    const check = () => checkRewards(combineRewards({ fidelity: 1 }), { promptsPerStep: 1, numGenerations: 6 });
    expect(codeOf(check)).toBe("CONFIG_TOO_FEW_IMAGES");
    expect(check).toThrow(
      'prompts_per_step is 1, and the fidelity reward compares pictures with each other: it needs at least 2. Raise prompts_per_step, or use a reward of scope "score".',
    );
  });

  it("refuses a plan in which a completion has no siblings", () => {
    const check = () => checkRewards(combineRewards({ format: 1 }), { promptsPerStep: 4, numGenerations: 1 });
    expect(codeOf(check)).toBe("CONFIG_TOO_FEW_GENERATIONS");
  });

  it("lets rewards that look at one picture alone pass with one prompt", () => {
    const set = combineRewards(["format", "threshold", "regression", brief]);
    expect(() => checkRewards(set, { promptsPerStep: 1, numGenerations: 2 })).not.toThrow();
  });

  it("lets an own reward say how many prompts it needs", () => {
    const spread = defineReward({
      name: "spread",
      minimumPrompts: 3,
      scoreBatch: ({ groups }) => groups.map(() => []),
    });
    expect(codeOf(() => checkRewards(combineRewards([spread]), { promptsPerStep: 2, numGenerations: 2 }))).toBe(
      "CONFIG_TOO_FEW_IMAGES",
    );
  });
});
