import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineReward, fidelity } from "../../src/rewards/index.js";
import { testReward } from "../../src/testing/index.js";

describe("testReward", () => {
  it("runs an own reward on rows and texts", async () => {
    const brief = defineReward({
      name: "brief",
      row: z.object({ mos: z.number() }),
      score: ({ completion, row }) => (completion.tokenIds.length < 40 + 8 * row.mos ? 1 : 0),
    });
    const { values } = await testReward(brief, [
      { row: { mos: 1 }, completions: ["short", "x".repeat(48), { text: "", tokenIds: new Int32Array(99) }] },
      { row: { mos: 5 }, completions: ["x".repeat(48)] },
    ]);
    expect(values).toEqual([[1, 0, 0], [1]]);
  });

  it("hands over what a run would: rows with an id, finish reasons, the step", async () => {
    const seen: unknown[] = [];
    const look = defineReward({
      name: "look",
      score: ({ row, completion: { finishReason, index, tokenIds }, step }) =>
        seen.push({ row, finishReason, index, tokens: Array.from(tokenIds), step }),
    });
    await testReward(
      look,
      [{ completions: ["A"] }, { row: { id: "own" }, completions: [{ text: "", finishReason: "length" }] }],
      {
        step: 3,
      },
    );
    expect(seen).toEqual([
      { row: { id: "0" }, finishReason: "stop", index: 0, tokens: [65], step: 3 },
      { row: { id: "own" }, finishReason: "length", index: 0, tokens: [], step: 3 },
    ]);
  });

  it("runs a built-in reward by its name, with its options, and says what a constant answer earns", async () => {
    const answer = (score: number): string => `<think>x</think><answer>${score}</answer>`;
    const options = { variance: "fixed", varianceFloor: 2 } as const;
    const { values, constantAnswer } = await testReward(
      "fidelity",
      [
        { row: { dataset: "a", mos: 4 }, completions: [answer(3), answer(4)] },
        { row: { dataset: "a", mos: 2 }, completions: [answer(1), "none"] },
      ],
      { options },
    );
    const groups = [
      { dataset: "a", mos: 4, scores: [3, 4] },
      { dataset: "a", mos: 2, scores: [1, null] },
    ];
    expect(values).toEqual(fidelity(groups, options));
    expect(constantAnswer).toBeCloseTo(Math.SQRT1_2, 12);
  });

  it("gives back what was attached", async () => {
    const wordy = defineReward({ name: "wordy", score: () => ({ value: 1, columns: { why: "because" } }) });
    const plain = defineReward({ name: "plain", score: () => 1 });
    const prompts = [{ completions: ["a", "b"] }];
    expect((await testReward(wordy, prompts)).attachments[0]![1]).toEqual({ columns: { why: "because" } });
    expect((await testReward(plain, prompts)).attachments).toEqual([[null, null]]);
  });

  it("fails as a run would", async () => {
    const prompts = [{ row: { id: "x" }, completions: ["a"] }];
    const typed = defineReward({ name: "typed", row: z.object({ mos: z.number() }), score: () => 1 });
    await expect(testReward(typed, prompts)).rejects.toMatchObject({ code: "REWARD_ROW", fields: { row: "x" } });
    const odd = defineReward({ name: "odd", score: () => Number.NaN });
    await expect(testReward(odd, prompts, { step: 2 })).rejects.toMatchObject({
      code: "REWARD_NOT_A_NUMBER",
      fields: { reward: "odd", step: 2, row: "x", sample: 0 },
    });
    await expect(testReward("fidelty", prompts)).rejects.toMatchObject({ code: "CONFIG_REWARD_UNKNOWN" });
  });

  it("lets a test decide how time passes", async () => {
    const slept: number[] = [];
    const flaky = defineReward({
      name: "flaky",
      retries: 2,
      backoffMs: 60_000,
      score: () => {
        if (slept.length < 2) throw new Error("not yet");
        return 1;
      },
    });
    const sleep = async (milliseconds: number): Promise<void> => {
      slept.push(milliseconds);
      await setImmediate();
    };
    expect((await testReward(flaky, [{ completions: ["a"] }], { sleep })).values).toEqual([[1]]);
    expect(slept).toEqual([60_000, 60_000]);
  });
});
