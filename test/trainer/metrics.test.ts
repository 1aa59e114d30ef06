import { describe, expect, it } from "vitest";
import type { Completion, FinishReason, RolloutGroup } from "../../src/policy/index.js";
import { combineRewards, defineReward, scoreRewards } from "../../src/rewards/index.js";
import { completionMetrics, rewardMetrics, updateMetrics } from "../../src/trainer/metrics.js";

const completion = (text: string, length: number, finishReason: FinishReason = "stop"): Completion => ({
  text,
  tokenIds: new Int32Array(length),
  logprobs: new Float32Array(length),
  finishReason,
});
const group = (...completions: Completion[]): RolloutGroup => ({
  prompt: { row: { id: "1" }, tokenIds: new Int32Array(1), images: [], source: { file: 0, line: 1 } },
  completions,
});
const answer = (score: string): string => `<think>a</think><answer>${score}</answer>`;

describe("completion metrics", () => {
  it("count lengths, ends and answers of hand-made groups", () => {
    const groups = [
      group(completion(answer("2"), 10), completion(answer("4"), 20), completion("no answer", 30, "length")),
      group(completion(answer("9"), 4), completion(answer("1"), 6, "aborted"), completion("", 2)),
    ];
    expect(completionMetrics(groups)).toEqual({
      "completions/mean_length": 12,
      // Four scores could be read, 2, 4, 5 and 1.
      constant_answer_ratio: 0.25,
      "completions/min_length": 2,
      "completions/max_length": 30,
      "completions/mean_terminated_length": 9,
      "completions/clipped_ratio": 1 / 6,
      "parse/failed_ratio": 2 / 6,
      "parse/clamped_ratio": 1 / 6,
      // Means of the groups are 3 and (5 + 1) / 2 = 3.
      prediction_spread: 0,
      // Rows without labels.
      batch_srcc: null,
    });
  });

  it("take the spread over the groups' mean scores, those that have one", () => {
    const spread = (...groups: string[][]): unknown =>
      completionMetrics(groups.map((texts) => group(...texts.map((text) => completion(text, 1)))))["prediction_spread"];
    expect(spread([answer("1"), answer("3")], [answer("4"), "x"], ["x", "x"])).toBe(Math.SQRT2);
    expect(spread([answer("1")], ["x"])).toBe(null);
  });

  it("correlate the groups' mean scores with the labels", () => {
    const labelled = (mos: number, ...texts: string[]): RolloutGroup => {
      const { prompt, completions } = group(...texts.map((text) => completion(text, 1)));
      return { prompt: { ...prompt, row: { id: "1", dataset: "tiny", mos } }, completions };
    };
    const groups = [labelled(1, answer("2")), labelled(2, answer("3"), answer("5")), labelled(3, answer("3"), "x")];
    expect(completionMetrics(groups)["batch_srcc"]).toBe(0.5);
  });

  it("read answers as the reference does on request", () => {
    const groups = [group(completion("about 3", 1), completion(answer("9"), 1))];
    expect(completionMetrics(groups)).toMatchObject({ "parse/failed_ratio": 0.5, "parse/clamped_ratio": 0.5 });
    expect(completionMetrics(groups, true)).toMatchObject({ "parse/failed_ratio": 0, "parse/clamped_ratio": 0 });
  });
});

describe("reward metrics", () => {
  const values = [
    [1, 2, 3],
    [5, 5, 5],
    [null, 4, 6],
  ];
  const groups = values.map((own) => group(...own.map(() => completion("", 1))));
  const given = defineReward({ name: "given", scoreBatch: () => values });
  const half = defineReward({ name: "half", score: ({ completion: { index } }) => index / 2 });

  it("are exact on hand-made values, with missing ones left out", async () => {
    const scored = await scoreRewards(groups, combineRewards({ given }));
    expect(rewardMetrics(scored)).toEqual({
      "rewards/given/mean": 31 / 8,
      // Squared distances from 31/8: 8.265625 + 3.515625 + 0.765625 + 3 x 1.265625 + 0.015625 + 4.515625 = 20.875.
      "rewards/given/std": Math.sqrt(20.875 / 7),
      "rewards/given/missing": 1,
      reward: 31 / 8,
      // Within the groups 1, 0 and sqrt(2).
      reward_std: expect.closeTo((1 + 0 + Math.SQRT2) / 3, 12) as number,
      frac_reward_zero_std: 1 / 3,
    });
  });

  it("keep each reward before weighting, and the total after it", async () => {
    const scored = await scoreRewards(groups, combineRewards({ given: { reward: given, weight: 2 }, half }));
    const metrics = rewardMetrics(scored);
    expect(metrics["rewards/given/mean"]).toBe(31 / 8);
    expect(metrics["rewards/half/mean"]).toBe(0.5);
    // Where "given" abstains, "half" alone makes the total: 2 x 31 + (0 + 0.5 + 1) x 3, over 9.
    expect(metrics.reward).toBeCloseTo((62 + 4.5) / 9, 12);
  });
});

describe("update metrics", () => {
  const record = {
    step: 3,
    learningRate: 1e-6,
    losses: {
      loss: 0.5,
      policyLoss: 0.4,
      kl: 20,
      weightedKl: 0.1,
      entropy: 50,
      clippedLow: 1,
      clippedHigh: 3,
      tokens: 100,
      sequences: 4,
    },
    update: { gradNorm: 0.7, skipped: false },
  };

  it("are sums as they are, and means over tokens", () => {
    expect(updateMetrics(record, true)).toEqual({
      loss: 0.5,
      policy_loss: 0.4,
      kl: 0.2,
      entropy: 0.5,
      "clip_ratio/low_mean": 0.01,
      "clip_ratio/high_mean": 0.03,
      "clip_ratio/region_mean": 0.04,
      grad_norm: 0.7,
      learning_rate: 1e-6,
      num_tokens: 100,
    });
  });

  it("are null where there is nothing to tell: no reference, no tokens, no finite norm", () => {
    expect(updateMetrics(record, false)["kl"]).toBe(null);
    const empty = { ...record, losses: { ...record.losses, tokens: 0 }, update: { gradNorm: Infinity, skipped: true } };
    expect(updateMetrics(empty, true)).toMatchObject({ kl: null, entropy: null, grad_norm: null, num_tokens: 0 });
  });
});
