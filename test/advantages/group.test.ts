import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { groupAdvantages } from "../../src/advantages/index.js";
import { readGolden } from "../golden/read.js";

interface Golden {
  cases: { name: string; rewards: number[][]; expected_f64: { advantages: number[][] | number[] } }[];
}

const rewards = fc.array(
  fc.array(fc.option(fc.double({ min: -3, max: 3, noNaN: true }), { freq: 5 }), { minLength: 1, maxLength: 6 }),
  { maxLength: 6 },
);
const scales = fc.constantFrom("group", "batch", "none");

describe("groupAdvantages", () => {
  it.each(readGolden<Golden>("grpo").cases)("equals the reference on $name", (given) => {
    const expected = given.expected_f64.advantages.flat();
    groupAdvantages(given.rewards)
      .flat()
      .forEach((advantage, index) => expect(Math.abs(advantage - expected[index]!)).toBeLessThan(1e-9));
  });

  it("divides by the deviation of the group, of the batch, or not at all", () => {
    const given = [
      [1, 3],
      [0, 4],
    ];
    const [narrow, wide, batch] = [Math.SQRT2 + 1e-4, Math.sqrt(8) + 1e-4, Math.sqrt(10 / 3) + 1e-4];
    expect(groupAdvantages(given)).toEqual([
      [-1 / narrow, 1 / narrow],
      [-2 / wide, 2 / wide],
    ]);
    expect(groupAdvantages(given, { scale: "batch" })).toEqual([
      [-1 / batch, 1 / batch],
      [-2 / batch, 2 / batch],
    ]);
    expect(groupAdvantages(given, { scale: "none" })).toEqual([
      [-1, 1],
      [-2, 2],
    ]);
  });

  it("gives exact zeros to a group without spread, also where its mean is rounded", () => {
    const flat = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1];
    for (const scale of ["group", "batch", "none"] as const) {
      expect(groupAdvantages([flat, [0.7, 0.7]], { scale })).toEqual([flat.map(() => 0), [0, 0]]);
    }
  });

  it("gives null no advantage and leaves it out of mean and deviation", () => {
    const [first] = groupAdvantages([[1, null, 3]]);
    const [clean] = groupAdvantages([[1, 3]]);
    expect(first).toEqual([clean![0], 0, clean![1]]);
    expect(groupAdvantages([[null, null], [5, null], []])).toEqual([[0, 0], [0, 0], []]);
    expect(groupAdvantages([[1, null, 3], [null]], { scale: "batch" })).toEqual([
      groupAdvantages([[1, null, 3]], { scale: "batch" })[0],
      [0],
    ]);
  });

  it("adds up to nothing within each group and keeps the order of the rewards", () => {
    fc.assert(
      fc.property(rewards, scales, (given, scale) => {
        groupAdvantages(given, { scale }).forEach((advantages, index) => {
          const sum = advantages.reduce((total, advantage) => total + advantage, 0);
          expect(Math.abs(sum)).toBeLessThan(1e-9);
          for (const [a, reward] of given[index]!.entries()) {
            for (const [b, other] of given[index]!.entries()) {
              if (reward === null || other === null || reward <= other) continue;
              expect(advantages[a]!).toBeGreaterThanOrEqual(advantages[b]!);
            }
          }
        });
      }),
    );
  });

  it("does not change when a group's rewards are shifted", () => {
    const whole = fc.array(fc.array(fc.integer({ min: -8, max: 8 }), { minLength: 1, maxLength: 6 }), { maxLength: 5 });
    fc.assert(
      fc.property(whole, fc.integer({ min: -100, max: 100 }), fc.constantFrom("group", "none"), (given, by, scale) => {
        const shifted = given.map((group) => group.map((reward) => reward + by));
        const after = groupAdvantages(shifted, { scale }).flat();
        groupAdvantages(given, { scale })
          .flat()
          .forEach((advantage, index) => expect(after[index]).toBeCloseTo(advantage, 10));
      }),
    );
  });
});
