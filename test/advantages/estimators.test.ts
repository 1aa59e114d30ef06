import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  advantagesOf,
  flatGroups,
  gdpoAdvantages,
  leaveOneOutAdvantages,
  passAtKAdvantages,
  reinforcePlusPlusAdvantages,
} from "../../src/advantages/index.js";
import type { AdvantageOptions, EarnedRewards, Rewards } from "../../src/advantages/index.js";
import { standardDeviation } from "../../src/stats/index.js";
import { readGolden } from "../golden/read.js";

interface Golden {
  cases: {
    name: string;
    rewards: Record<string, (number | null)[][]>;
    weights: Record<string, number>;
    totals: (number | null)[][];
    expected: Record<string, number[][]>;
  }[];
  pass_at_k_binary: {
    count: number;
    wrong: number;
    k: number;
    deviation: number;
    right_advantage: number;
    wrong_advantage: number;
  }[];
}

const golden = readGolden<Golden>("advantages");

/** What the golden file calls each estimator. */
function optionsOf(name: string): AdvantageOptions {
  switch (name) {
    case "group":
    case "batch":
    case "none":
      return { estimator: "group", scale: name };
    case "rloo":
    case "gdpo":
    case "reinforce_plus_plus_baseline":
      return { estimator: name };
    case "rloo_batch":
      return { estimator: "rloo", scale: "batch" };
    default:
      return { estimator: "pass_at_k", k: Number(name.replace("pass_at_", "")) };
  }
}

const every: readonly AdvantageOptions[] = [
  { estimator: "group" },
  { estimator: "group", scale: "batch" },
  { estimator: "group", scale: "none" },
  { estimator: "rloo" },
  { estimator: "rloo", scale: "batch" },
  { estimator: "reinforce_plus_plus_baseline" },
  { estimator: "gdpo" },
  { estimator: "pass_at_k", k: 1 },
  { estimator: "pass_at_k", k: 3 },
  { estimator: "pass_at_k", k: 2, scale: "none" },
];
const nameOf = (options: AdvantageOptions): string => Object.values(options).join(" ");

/** One reward of weight 1 is what all estimators can be asked about. */
const earned = (totals: Rewards): EarnedRewards => ({ totals, breakdown: { only: totals }, weights: { only: 1 } });
const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
function expectClose(found: readonly number[][], expected: readonly number[][], tolerance = 1e-9): void {
  expect(found.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  found.flat().forEach((value, index) => {
    expect(Math.abs(value - expected.flat()[index]!)).toBeLessThan(tolerance);
  });
}

// Whole numbers, so that shifts and factors change no comparison of rewards.
const rewards = fc.array(
  fc.array(fc.option(fc.integer({ min: -8, max: 8 }), { freq: 6 }), { minLength: 1, maxLength: 7 }),
  { minLength: 1, maxLength: 6 },
);

describe.each(golden.cases)("on $name", (given) => {
  const whole: EarnedRewards = { totals: given.totals, breakdown: given.rewards, weights: given.weights };
  it.each(Object.entries(given.expected))("%s equals the other implementation", (name, expected) => {
    expectClose(advantagesOf(whole, optionsOf(name)), expected);
  });
});

describe.each(every.map((options) => [nameOf(options), options] as const))("%s", (_, options) => {
  it("adds up to nothing within each group, and gives null nothing", () => {
    fc.assert(
      fc.property(rewards, (given) => {
        for (const [prompt, group] of advantagesOf(earned(given), options).entries()) {
          expect(Math.abs(sumOf(group))).toBeLessThan(1e-9);
          for (const [sample, reward] of given[prompt]!.entries()) if (reward === null) expect(group[sample]).toBe(0);
        }
      }),
    );
  });

  it("keeps the order of the rewards within a group", () => {
    fc.assert(
      fc.property(rewards, (given) => {
        for (const [prompt, group] of advantagesOf(earned(given), options).entries()) {
          const ranked = group
            .map((advantage, sample) => ({ advantage, reward: given[prompt]![sample] ?? null }))
            .filter(({ reward }) => reward !== null)
            .sort((a, b) => a.reward! - b.reward!);
          for (const [rank, { advantage, reward }] of ranked.entries()) {
            const next = ranked[rank + 1];
            if (next === undefined) continue;
            // But for rounding: rewards may differ by the last bit.
            if (next.reward === reward) expect(next.advantage).toBeCloseTo(advantage, 9);
            else expect(next.advantage).toBeGreaterThanOrEqual(advantage - 1e-9);
          }
        }
      }),
    );
  });

  it("does not change when the rewards of each group are shifted", () => {
    // The deviation of all rewards of a batch is that of the groups' means as well.
    if (options.estimator === "group" && options.scale === "batch") return;
    fc.assert(
      fc.property(rewards, fc.array(fc.integer({ min: -90, max: 90 }), { minLength: 6, maxLength: 6 }), (given, by) => {
        const moved = given.map((group, prompt) =>
          group.map((reward) => (reward === null ? null : reward + by[prompt]!)),
        );
        expectClose(advantagesOf(earned(moved), options), advantagesOf(earned(given), options));
      }),
    );
  });

  it("grows with the rewards where nothing is divided, and is as good as independent of their scale elsewhere", () => {
    const divided =
      !(options.estimator === "rloo" && options.scale === undefined) &&
      !("scale" in options && options.scale === "none");
    fc.assert(
      fc.property(rewards, fc.integer({ min: 2, max: 50 }), (given, factor) => {
        const scaled = given.map((group) => group.map((reward) => (reward === null ? null : reward * factor)));
        const before = advantagesOf(earned(given), options);
        const after = advantagesOf(earned(scaled), options);
        // Whole numbers that differ have a deviation of at least 0.07, beside which the floor of 1e-4 is small.
        expectClose(
          after,
          before.map((group) => group.map((value) => (divided ? value : value * factor))),
          divided ? 0.02 : 1e-6,
        );
      }),
    );
  });

  it("does not depend on the order of completions and prompts", () => {
    fc.assert(
      fc.property(rewards, (given) => {
        const turned = given.map((group) => group.toReversed()).toReversed();
        const expected = advantagesOf(earned(given), options);
        expectClose(
          advantagesOf(earned(turned), options)
            .map((group) => group.toReversed())
            .toReversed(),
          expected,
        );
      }),
    );
  });

  it("gives exact zeros to groups whose completions all earned the same", () => {
    const given = [
      [0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
      [0.7, null, 0.7],
      [null, null],
      [0, 1, 2, 3],
    ];
    const advantages = advantagesOf(earned(given), options);
    expect(advantages.slice(0, 3)).toEqual([
      [0, 0, 0, 0, 0, 0],
      [0, 0, 0],
      [0, 0],
    ]);
    expect(flatGroups(earned(given), options)).toEqual([0, 1, 2]);
  });
});

describe("the default", () => {
  it("is the distance from the mean of the group, divided by its deviation", () => {
    const given = earned([[1, 2, 4]]);
    expect(advantagesOf(given)).toEqual(advantagesOf(given, { estimator: "group", scale: "group" }));
  });
});

describe("rloo", () => {
  it("is the distance from the mean of the others", () => {
    expectClose(leaveOneOutAdvantages([[1, 2, 6], [null, 3, 5], [4]]), [[-3, -1.5, 4.5], [0, -2, 2], [0]]);
  });
});

describe("reinforce_plus_plus_baseline", () => {
  it("has deviation 1 over the batch, where group deviations may be anything", () => {
    const advantages = reinforcePlusPlusAdvantages([
      [0, 2],
      [0, 20],
    ]);
    expect(standardDeviation(advantages.flat())).toBeCloseTo(1, 4);
    expect(advantages[1]![1]! / advantages[0]![1]!).toBeCloseTo(10, 12);
  });
});

describe("gdpo", () => {
  const split = { a: [[1, 0, 1, 0]], b: [[10, 20, 20, 10]] };

  it("counts rewards of unlike spread alike", () => {
    const [group] = gdpoAdvantages(split);
    expect(group![0]).toBeCloseTo(0, 3);
    expect(group![1]).toBeCloseTo(0, 3);
    expect(group![2]).toBeGreaterThan(1);
    expect(group![3]).toBe(-group![2]!);
  });

  it("weighs what was normalised, and leaves out what weighs nothing", () => {
    expectClose(gdpoAdvantages(split, { weights: { a: 0 } }), gdpoAdvantages({ b: split.b }));
    expectClose(gdpoAdvantages(split, { weights: { a: 7, b: 0 } }), gdpoAdvantages({ a: split.a }), 1e-3);
    expect(gdpoAdvantages(split, { weights: { a: 0, b: 0 } })).toEqual([[0, 0, 0, 0]]);
    expect(gdpoAdvantages({})).toEqual([]);
  });

  it("tells completions with the same total apart, where the other estimators see nothing", () => {
    const given = { a: [[1, 0, 0.5]], b: [[0, 1, 0.5]] };
    const weights = { a: 2, b: 2 };
    const totals = [[2, 2, 2]];
    expect(flatGroups({ totals, breakdown: given, weights })).toEqual([0]);
    const skewed = { ...given, b: [[0, 0.9, 0.6]] };
    expect(flatGroups({ totals, breakdown: skewed, weights }, { estimator: "gdpo" })).toEqual([]);
  });
});

describe("pass_at_k", () => {
  it.each(golden.pass_at_k_binary)("is the closed form: $wrong of $count wrong, k = $k", (given) => {
    const { count, wrong, k, deviation } = given;
    const group = Array.from({ length: count }, (_, sample) => (sample < wrong ? 0 : 1));
    const [unscaled] = passAtKAdvantages([group], { k, scale: "none" });
    expect(unscaled![0]! / deviation).toBeCloseTo(given.wrong_advantage, 11);
    expect(unscaled![count - 1]! / deviation).toBeCloseTo(given.right_advantage, 11);
    const [scaled] = passAtKAdvantages([group], { k });
    expect(scaled![0]! * (deviation + 1e-4)).toBeCloseTo(unscaled![0]!, 12);
  });

  it("teaches nothing where every subset holds a right one, or there is one subset", () => {
    expect(
      passAtKAdvantages(
        [
          [0, 1, 1, 1],
          [0, 1],
          [0, 1, 2],
        ],
        { k: 2 },
      ),
    ).toEqual([[0, 0, 0, 0], [0, 0], expect.not.arrayContaining([0]) as number[]]);
    expect(flatGroups(earned([[0, 1, 1, 1]]), { estimator: "pass_at_k", k: 2 })).toEqual([0]);
  });

  it("does not overflow with many completions", () => {
    const group = Array.from({ length: 2000 }, (_, sample) => (sample === 0 ? 1 : 0));
    const [advantages] = passAtKAdvantages([group], { k: 1000 });
    expect(advantages![0]).toBeCloseTo(1, 3);
    expect(sumOf(advantages!)).toBeCloseTo(0, 9);
  });

  it("refuses a k that is no count", () => {
    expect(() => passAtKAdvantages([[1]], { k: 0 })).toThrow("k is 0; expected an integer from 1");
    expect(() => passAtKAdvantages([[1]], { k: 1.5 })).toThrow(RangeError);
  });
});
