import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/errors.js";
import {
  binary,
  constantAnswerReward,
  fidelity,
  majorityPreference,
  scoreRewards,
  combineRewards,
  voteShare,
  winProbability,
} from "../../src/rewards/index.js";
import type { ComparedGroup, RewardGroup } from "../../src/rewards/index.js";
import { testReward } from "../../src/testing/index.js";
import { readGolden } from "../golden/read.js";

interface Case {
  readonly name: string;
  readonly agreement: number;
  readonly images: readonly ComparedGroup[];
  readonly expected: Readonly<Record<"fidelity" | "win_probability" | "binary", (number | null)[][]>>;
}

const { cases } = readGolden<{ cases: readonly Case[] }>("votes");
const votes = { preference: "majority_vote" } as const;
const answer = (score: number | string): string => `<think>x</think><answer>${score}</answer>`;

const score = fc.integer({ min: 4, max: 20 }).map((quarters) => quarters / 4);
const scores = fc.array(score, { minLength: 1, maxLength: 6 });
const images = fc.array(
  fc.record({
    dataset: fc.constantFrom("a", "b"),
    scores: fc.array(fc.option(score, { freq: 5 }), { minLength: 1, maxLength: 5 }),
  }),
  { maxLength: 6 },
);

describe("rewards by majority vote", () => {
  it.each(cases)("equal the independent computation, case $name", ({ images: given, agreement, expected }) => {
    const options = { ...votes, voteAgreement: agreement };
    const found = {
      fidelity: fidelity(given, options),
      win_probability: winProbability(given, options),
      binary: binary(given, options),
    };
    for (const [name, groups] of Object.entries(found)) {
      const wanted = expected[name as keyof typeof found];
      expect(groups.map((group) => group.map((value) => value === null))).toEqual(
        wanted.map((group) => group.map((value) => value === null)),
      );
      groups.flat().forEach((value, index) => expect(value ?? 0).toBeCloseTo(wanted.flat()[index] ?? 0, 12));
    }
  });

  it("never look at labels", () => {
    fc.assert(
      fc.property(images, fc.array(score, { minLength: 6, maxLength: 6 }), (given, labels) => {
        const labelled = given.map((image, index) => ({ ...image, mos: labels[index]! }));
        expect(fidelity(labelled, votes)).toEqual(fidelity(given, votes));
      }),
    );
  });

  it("lie in [0, 1], and follow the images when those change places", () => {
    fc.assert(
      fc.property(images, (given) => {
        const rewards = fidelity(given, votes);
        for (const value of rewards.flat()) expect(value === null || (value >= 0 && value <= 1)).toBe(true);
        const back = fidelity(given.toReversed(), votes).toReversed();
        rewards.flat().forEach((value, index) => {
          const other = back.flat()[index]!;
          if (value === null) expect(other).toBeNull();
          else expect(other).toBeCloseTo(value, 12);
        });
      }),
    );
  });

  it("equal those by labels that say what the majority says", () => {
    fc.assert(
      fc.property(scores, scores, (own, other) => {
        const preferred = majorityPreference(own, other);
        if (preferred === null) return;
        const given = [own, other].map((one, index) => ({
          dataset: "a",
          mos: index === 0 ? preferred : 1 - preferred,
          scores: one,
        }));
        expect(fidelity(given, votes)).toEqual(fidelity(given));
      }),
    );
  });

  it("pay nothing to a model that always gives the same score, instead of the most", () => {
    const same = [1, 2, 3].map(() => ({ dataset: "a", scores: [3, 3, 3] }));
    expect(fidelity(same, votes)).toEqual(same.map(() => [null, null, null]));
    expect(constantAnswerReward(same, votes)).toBeNull();
    const ranked = [3, 4].map((mean) => ({ dataset: "a", scores: [mean, mean + 0.5] }));
    expect(constantAnswerReward(ranked, votes)).toBeCloseTo(Math.SQRT1_2, 15);
  });

  it("need no opinion score in the row, where the order of labels does", async () => {
    const prompts = [
      { row: { dataset: "a" }, completions: [answer(2), answer(3)] },
      { row: { dataset: "a" }, completions: [answer(4), answer(5)] },
    ];
    const { values } = await testReward("fidelity", prompts, { options: votes });
    expect(values.flat().every((value) => value! > 0.9)).toBe(true);
    await expect(testReward("fidelity", prompts)).rejects.toMatchObject({ code: "REWARD_ROW" });
    await expect(testReward("margin", prompts, { options: votes })).rejects.toMatchObject({ code: "REWARD_ROW" });
    expect(() =>
      fidelity([
        { dataset: "a", scores: [1] },
        { dataset: "a", scores: [2] },
      ]),
    ).toThrow(expect.objectContaining({ name: "RewardError", code: "REWARD_NO_LABEL" }));
  });

  it("leave an image without a readable answer to the other rewards", async () => {
    const groups: RewardGroup[] = [answer(2), "unreadable"].map((text, id) => ({
      prompt: { row: { id: String(id), dataset: "a" } },
      completions: [{ text, tokenIds: [1], finishReason: "stop" }],
    }));
    const rewards = combineRewards({ fidelity: 1, format: 0.5 }, votes);
    expect((await scoreRewards(groups, rewards)).totals).toEqual([[0.5], [0]]);
  });
});

describe("a vote", () => {
  it("is a pair of scores, equal ones half a vote for each", () => {
    expect(voteShare([3, 4], [3, 1])).toBe((0.5 + 1 + 1 + 1) / 4);
    expect(voteShare([], [1])).toBeNull();
    expect(voteShare([1], [])).toBeNull();
  });

  it("counts the same from both sides", () => {
    fc.assert(
      fc.property(scores, scores, fc.double({ min: 0.5, max: 0.99, noNaN: true }), (own, other, agreement) => {
        expect(voteShare(own, other)! + voteShare(other, own)!).toBeCloseTo(1, 12);
        const one = majorityPreference(own, other, agreement);
        expect(majorityPreference(other, own, agreement)).toBe(one === null ? null : 1 - one);
      }),
    );
  });

  it("decides where more than the agreed share is one way", () => {
    expect(majorityPreference([2, 4], [1, 3])).toBe(1);
    expect(majorityPreference([2, 4], [1, 3], 0.75)).toBeNull();
    expect(majorityPreference([1, 3], [2, 4], 0.7)).toBe(0);
    expect(majorityPreference([1, 4], [2, 3])).toBeNull();
    for (const agreement of [0.49, 1, Number.NaN]) {
      expect(() => majorityPreference([1], [2], agreement)).toThrow(ConfigError);
    }
  });
});
