import { describe, expect, it } from "vitest";
import {
  exchangeLabels,
  gaussianReward,
  labelsPermutedEachStep,
  labelsPermutedOnce,
  permutedRewards,
} from "../../bench/support/controls.js";
import { scoreRewards } from "../../src/rewards/index.js";
import type { Reward } from "../../src/rewards/index.js";
import { foldKey, mean, srcc, standardDeviation } from "../../src/stats/index.js";
import { answerImages } from "../support/raters.js";

const groups = answerImages({ correlation: 0.9, images: 24, seed: 3 }).map(({ prompt, completions }) => ({
  prompt: { row: { ...(prompt.row as { dataset: string; mos: number }), source: prompt.source } },
  completions,
}));
const rewards = { win_probability: 1 };
const totalsAt = async (reward: Reward, step: number) => (await scoreRewards(groups, [reward], { step })).totals;
const sorted = (values: readonly (readonly (number | null)[])[]) => values.flat().toSorted((a, b) => a! - b!);
const mosOf = (all: readonly { readonly mos: number }[]): number[] => all.map(({ mos }) => mos);
const rows = groups.map(({ prompt }) => prompt.row);

describe("permuted rewards", () => {
  const control = permutedRewards({ name: "permuted", seed: 1, rewards });

  it("are the real ones of the step, for other completions, dealt anew in each step", async () => {
    const { totals } = await scoreRewards(groups, rewards);
    const [first, second] = [await totalsAt(control, 1), await totalsAt(control, 2)];
    expect(sorted(first)).toEqual(sorted(totals));
    expect(first).not.toEqual(totals);
    expect(first).not.toEqual(second);
    expect(Math.abs(srcc(first.flat() as number[], totals.flat() as number[])!)).toBeLessThan(0.25);
  });

  it("are the same for the same seed and step, and others for another seed", async () => {
    expect(await totalsAt(control, 5)).toEqual(await totalsAt(control, 5));
    const other = permutedRewards({ name: "permuted", seed: 2, rewards });
    expect(await totalsAt(other, 5)).not.toEqual(await totalsAt(control, 5));
  });
});

describe("the Gaussian reward", () => {
  const control = gaussianReward({ name: "gaussian", seed: 1 });

  it("is standard normal, whatever the answers are, and drawn anew in each step", async () => {
    const values = (await Promise.all([1, 2, 3, 4].map((step) => totalsAt(control, step)))).flat(2) as number[];
    expect(values).toHaveLength(4 * 24 * 6);
    // Standard errors 0.042 and 0.03.
    expect(Math.abs(mean(values)!)).toBeLessThan(0.13);
    expect(Math.abs(standardDeviation(values)! - 1)).toBeLessThan(0.1);
    expect(new Set(values).size).toBe(values.length);
    expect(await totalsAt(control, 2)).toEqual(await totalsAt(control, 2));
  });
});

describe("exchanged labels", () => {
  it("stay within their data set, each exactly once", () => {
    const two = rows.map((row, index) => (index % 3 === 0 ? { ...row, dataset: "other", mos: 100 + index } : row));
    const exchanged = exchangeLabels(two, foldKey(7));
    for (const dataset of ["tiny", "other"]) {
      const own = (all: readonly (typeof two)[number][]) => mosOf(all.filter((row) => row.dataset === dataset));
      expect(sorted([own(exchanged)])).toEqual(sorted([own(two)]));
      expect(own(exchanged)).not.toEqual(own(two));
    }
  });

  it("once for a run give the rewards of those labels, in every step", async () => {
    const control = labelsPermutedOnce({ name: "once", seed: 1, rewards, rows });
    expect(await totalsAt(control, 1)).toEqual(await totalsAt(control, 2));
    expect(await totalsAt(control, 1)).not.toEqual((await scoreRewards(groups, rewards)).totals);
    // A part of the rows keeps the labels it got among all.
    const few = groups.slice(0, 5);
    const { totals } = await scoreRewards(few, [control]);
    const relabelled = few.map((group) => {
      const index = rows.indexOf(group.prompt.row);
      const mos = exchangeLabels(rows, foldKey(1, 103))[index]!.mos;
      return { ...group, prompt: { row: { ...group.prompt.row, mos } } };
    });
    expect(totals).toEqual((await scoreRewards(relabelled, rewards)).totals);
  });

  it("once for a run refuse a row they do not know", async () => {
    const control = labelsPermutedOnce({ name: "once", seed: 1, rewards, rows: rows.slice(1) });
    await expect(totalsAt(control, 1)).rejects.toThrow(/none of the rows/);
  });

  it("anew in each step hold for no two steps, and leave the rows alone", async () => {
    const control = labelsPermutedEachStep({ name: "each", seed: 1, rewards });
    const before = structuredClone(rows);
    const [first, second] = [await totalsAt(control, 1), await totalsAt(control, 2)];
    expect(first).not.toEqual(second);
    expect(await totalsAt(control, 1)).toEqual(first);
    expect(rows).toEqual(before);
  });
});
