import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ConfigInput } from "../../src/index.js";
import type { RolloutGroup } from "../../src/policy/index.js";
import type { FakeWorker, FakeWorkerOptions, RecordedCall } from "../../src/testing/index.js";
import { correct } from "../../src/trainer/corrections.js";
import type { Corrections, Measurement } from "../../src/trainer/corrections.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, methodsOf, runFake } from "../support/fake-run.js";

const NONE: Corrections = { importance: null, topEntropyQuantile: 1, maskTruncated: false, klInReward: null };

/** Two prompts, completions of 2, 1 and 2 tokens, the last one cut. */
const groups: readonly RolloutGroup[] = [
  { prompt: promptOf(1), completions: [completionOf([-1, -1], "stop"), completionOf([-2], "stop")] },
  { prompt: promptOf(2), completions: [completionOf([-1, -3], "length")] },
];
const totals = [[1, null], [2]];
const measured: Measurement = {
  id: "kept",
  logprobs: [[Float32Array.of(-1, 0), Float32Array.of(-2)], [Float32Array.of(-1, -1)]],
  entropies: [[Float32Array.of(0.1, 0.9), Float32Array.of(0.5)], [Float32Array.of(2, 2)]],
  reference: [[Float32Array.of(-2, 0), Float32Array.of(-1)], [Float32Array.of(-1, -4)]],
};

function promptOf(line: number): RolloutGroup["prompt"] {
  return { row: {}, tokenIds: Int32Array.of(7), images: [], source: { file: 0, line } };
}

function completionOf(logprobs: number[], finishReason: "stop" | "length"): RolloutGroup["completions"][number] {
  return { text: "", tokenIds: new Int32Array(logprobs.length), logprobs: Float32Array.from(logprobs), finishReason };
}

const factorsOf = (corrections: Partial<Corrections>) =>
  correct(groups, totals, measured, { ...NONE, ...corrections }).factors?.map((group) =>
    group.map((own) => Array.from(own, (factor) => Number(factor.toFixed(6)))),
  );

describe("what is made of a measured rollout batch", () => {
  it("is nothing but the gap to sampling where nothing is asked for", () => {
    expect(correct(groups, totals, measured, NONE)).toEqual({
      id: "kept",
      totals,
      penalties: null,
      metrics: { "sampling/sampling_logp_difference/mean": 3 / 5, "sampling/sampling_logp_difference/max": 2 },
    });
  });

  it("is the ratio of training to sampling, bounded, and its metrics", () => {
    const importance = { mode: "token_truncate", clipMax: 3 } as const;
    expect(factorsOf({ importance })).toEqual([[[1, 2.718282], [1]], [[1, 3]]]);
    expect(correct(groups, totals, measured, { ...NONE, importance }).metrics).toMatchObject({
      "sampling/importance_sampling_ratio/min": 1,
      "sampling/importance_sampling_ratio/mean": expect.closeTo((1 + Math.E + 1 + 1 + 3) / 5, 6) as number,
      "sampling/importance_sampling_ratio/max": 3,
      "sampling/importance_sampling_ratio/limited": 1 / 5,
    });
  });

  it("is a mask of the tokens of low entropy, which multiplies the ratio", () => {
    expect(factorsOf({ topEntropyQuantile: 0.5 })).toEqual([[[0, 1], [0]], [[1, 1]]]);
    const importance = { mode: "token_truncate", clipMax: 3 } as const;
    expect(factorsOf({ topEntropyQuantile: 0.5, importance })).toEqual([[[0, 2.718282], [0]], [[1, 3]]]);
  });

  it("leaves truncated completions out, of the quantile and the metrics as well", () => {
    const corrections = { ...NONE, maskTruncated: true, topEntropyQuantile: 0 };
    const corrected = correct(groups, totals, measured, corrections);
    expect(corrected.truncated).toEqual([[false, false], [true]]);
    expect(factorsOf(corrections)).toEqual([[[0, 1], [0]], [[0, 0]]]);
    expect(corrected.metrics).toMatchObject({
      "sampling/sampling_logp_difference/max": 1,
      "entropy_mask/kept": 1 / 3,
    });
    expect(correct(groups, totals, null, { ...NONE, maskTruncated: true })).toEqual({
      totals,
      penalties: null,
      truncated: [[false, false], [true]],
      metrics: {},
    });
  });

  it("takes the KL of a completion off its reward", () => {
    const klInReward = { beta: 0.1, estimator: "k1" } as const;
    const corrected = correct(groups, totals, measured, { ...NONE, klInReward });
    // Sums of policy - reference: 1 and -1 of the first prompt, 3 of the second.
    expect(corrected.totals).toEqual([[1 - 0.1, null], [2 - 0.1 * 3]]);
    expect(corrected.metrics).toMatchObject({ "kl_in_reward/mean": 1 });
    expect(corrected.factors).toBeUndefined();
  });
});

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

const run = (name: string, more: Partial<ConfigInput>, fake: FakeWorkerOptions = {}) =>
  runFake(set.config(name, { max_steps: 1, ...more }), {}, fake);
const callOf = (worker: FakeWorker, method: string): RecordedCall =>
  worker.calls.find((call) => call.method === method)!;
const advantagesOf = (worker: FakeWorker): number[] => [
  ...(callOf(worker, "forwardBackward").tensors["advantages"]!.data as Float32Array),
];
const idsOf = (worker: FakeWorker): number[] => [
  ...(callOf(worker, "forwardBackward").tensors["completion_ids"]!.data as Int32Array),
];

describe("a step of a run", () => {
  it("asks for log-probabilities once, before the loss, and trains on corrected advantages", async () => {
    const plain = await run("plain", {});
    // The letter "n" of "think" and "fine" is e times as likely in training as in sampling.
    const logprob = (token: number): number => (token === 110 ? 0 : -1);
    const asked = { importance_sampling_correction: true, importance_sampling_mode: "token_truncate" } as const;
    const { worker, events } = await run("corrected", asked, { logprob });
    expect(methodsOf(worker)).toEqual([
      "load",
      "generate",
      "logprobs",
      "forwardBackward",
      "optimStep",
      "save",
      "export",
    ]);
    expect(callOf(worker, "logprobs").params).toMatchObject({ of: "policy", store: false, entropy: false });
    expect(callOf(worker, "forwardBackward").params).toMatchObject({ loss: { old: "detach" } });
    const ids = idsOf(worker);
    const expected = advantagesOf(plain.worker).map((one, token) => (ids[token] === 110 ? Math.E * one : one));
    expect(ids).toContain(110);
    advantagesOf(worker).forEach((one, token) => expect(one).toBeCloseTo(expected[token]!, 5));
    const share = ids.filter((id) => id === 110).length / ids.length;
    const [end] = eventsOf(events, "step-end");
    expect(end!.metrics["sampling/sampling_logp_difference/mean"]).toBeCloseTo(share, 6);
    expect(end!.metrics["sampling/importance_sampling_ratio/mean"]).toBeCloseTo(1 + share * (Math.E - 1), 6);
    expect(end!.metrics["sampling/importance_sampling_ratio/limited"]).toBe(0);
  });

  it("keeps the same log-probabilities for later updates, under one name", async () => {
    const asked = { importance_sampling_correction: true, num_iterations: 2, max_steps: 2 };
    const { worker } = await run("kept", asked);
    expect(methodsOf(worker).filter((method) => method === "logprobs").length).toBe(1);
    const [stored, loss] = [callOf(worker, "logprobs").params, callOf(worker, "forwardBackward").params];
    expect(stored).toMatchObject({ store: true });
    expect(loss).toMatchObject({ loss: { old: "stored" }, batch_id: stored["batch_id"] });
  });

  it("asks for them update by update, so that every rank has its share of each", async () => {
    let drawn = 0;
    // All at once, the longest of the batch would decide who has which.
    const complete = ({ sample }: { sample: number }): string =>
      `${"x".repeat(7 * (drawn++ % 5))}<answer>${sample + 1}</answer>`;
    const asked = { prompts_per_step: 8, num_generations: 2, num_processes: 2 } as const;
    const updates = { per_device_train_batch_size: 2, gradient_accumulation_steps: 1, max_steps: 4 } as const;
    const { worker } = await run("ranks", { ...asked, ...updates }, { complete, ranks: 2 });
    const counts = (rank: number, method: string): number[] =>
      worker.calls
        .filter((call) => call.rank === rank && call.method === method)
        .map(({ tensors }) => tensors["completion_lengths"]!.data.length);
    for (const method of ["logprobs", "forwardBackward"]) {
      for (const rank of [0, 1]) expect(counts(rank, method), `${method} of rank ${rank}`).toEqual([2, 2, 2, 2]);
    }
  });

  it("trains on the tokens of the highest entropy only", async () => {
    const entropy = (token: number): number => (token === 110 ? 2 : 0.5);
    const { worker, events } = await run("entropy", { top_entropy_quantile: 0.05 }, { entropy });
    expect(callOf(worker, "logprobs").params).toMatchObject({ entropy: true });
    const ids = idsOf(worker);
    advantagesOf(worker).forEach((one, token) => {
      if (ids[token] !== 110) expect(Math.abs(one)).toBe(0);
    });
    expect(advantagesOf(worker).some((one) => one !== 0)).toBe(true);
    const [end] = eventsOf(events, "step-end");
    expect(end!.metrics["entropy_mask/threshold"]).toBe(2);
    expect(end!.metrics["entropy_mask/kept"]).toBeCloseTo(ids.filter((id) => id === 110).length / ids.length, 12);
  });

  it("leaves truncated completions out of the loss, and counts them among the completions", async () => {
    const complete = ({ sample }: { sample: number }): string =>
      `${"x".repeat(sample === 0 ? 90 : 2)}<answer>${sample + 1}</answer>`;
    const asked = { mask_truncated_completions: true, max_completion_length: 40 };
    const { worker } = await run("truncated", asked, { complete });
    const { weights, completion_lengths: lengths } = callOf(worker, "forwardBackward").tensors;
    const count = lengths!.data.length;
    let at = 0;
    Array.from(lengths!.data as Int32Array).forEach((length, index) => {
      const own = new Set((weights!.data as Float32Array).slice(at, (at += length)));
      const cut = length === 40;
      expect(cut).toBe(index % (count / 3) === 0);
      expect([...own]).toEqual([cut ? 0 : Math.fround(1 / (count * length))]);
    });
  });

  it("pays for the KL in the reward: the reference is asked once, and the loss has no KL term", async () => {
    const { worker, events } = await run("kl", { kl_in_reward: true, kl_estimator: "k1", beta: 0.5 });
    const asked = worker.calls.filter(({ method }) => method === "logprobs").map(({ params }) => params["of"]);
    expect(asked).toEqual(["policy", "reference"]);
    expect(callOf(worker, "load").params).toMatchObject({ reference: true });
    expect(callOf(worker, "forwardBackward").params).toMatchObject({ loss: { beta: 0 } });
    expect(eventsOf(events, "step-end")[0]!.metrics).toMatchObject({ kl: null, "kl_in_reward/mean": 0 });
  });

  it.each([
    ["dapo", { surrogate: "clip", delta: null, epsilon_high: 0.2 }],
    ["gspo", { surrogate: "sequence_clip" }],
    ["luspo", { surrogate: "sequence_clip" }],
    ["cispo", { surrogate: "cispo", epsilon_high: 1.2 }],
    ["sapo", { surrogate: "sapo", tau_positive: 1, tau_negative: 1.05 }],
  ] as const)("of loss_type %s sends its surrogate", async (loss_type, loss) => {
    const { worker } = await run(`type-${loss_type}`, { loss_type });
    expect(callOf(worker, "forwardBackward").params).toMatchObject({ loss });
  });

  it("sends what the other keys of the objective say", async () => {
    const { worker, events } = await run("keys", { delta: 2, kl_estimator: "k2", entropy_coefficient: 0.01 });
    const loss = { delta: 2, kl: "k2", entropy_coefficient: 0.01, beta: 0.04 };
    expect(callOf(worker, "forwardBackward").params).toMatchObject({ loss });
    // The fake's entropy is 1 for each token, and the weights of grpo add up to 1.
    const { loss: whole, policy_loss: policy } = eventsOf(events, "step-end")[0]!.metrics;
    expect(whole).toBeCloseTo(policy! - 0.01, 9);
  });
});
