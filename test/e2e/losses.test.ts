/**
 * Every loss type on a real worker: the loss is that of the formula on the worker's own log-probabilities, and the gradient
 * that of its derivative, executed as weights of `nll`. Then runs with what stands before the loss.
 *
 * @module
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { variedScore } from "../../bench/support/fault-runs.js";
import type { Row } from "../../src/data/index.js";
import { defineReward, loadRows, openPolicy, resolveConfig, toTrainBatch, train } from "../../src/index.js";
import type { ConfigInput, LossSpec, Policy, RolloutGroup, TrainBatch } from "../../src/index.js";
import { objectiveOf } from "../../src/losses/index.js";
import type { LossType, ObjectiveOptions } from "../../src/losses/index.js";
import { weightedLoss } from "../losses/weighted-loss.js";
import type { Token } from "../losses/weighted-loss.js";
import { startReusedWorker } from "./reused-worker.js";
import type { ReusedWorker } from "./reused-worker.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

const LENGTH = 10;
const ADVANTAGES = [
  [1.5, -1, -0.5],
  [-0.7, 0.2, 0.5],
];

let workspace: Workspace;
let worker: ReusedWorker;
let policy: Policy<Row>;
let groups: RolloutGroup<Row>[];
let kept: TrainBatch;
/** [completion][token] before the first update, now, and under the reference. */
let old: Float32Array[];
let now: Float32Array[];
let entropies: Float32Array[];
let reference: Float32Array[];
beforeAll(async () => {
  workspace = await createWorkspace();
  const config = resolveConfig(workspace.config("losses", { temperature: 0.9, beta: 0.1, max_tokens_per_part: 60 }));
  worker = await startReusedWorker(workspace.config("losses"));
  policy = await openPolicy(config, { connect: worker.connect });
  const prompts = await policy.encode((await loadRows(config)).slice(0, 2), { step: 1 });
  groups = await policy.generate(prompts, { samples: 3, step: 1 });
  kept = toTrainBatch(groups, ADVANTAGES);
  old = (await policy.logprobs(kept, { store: true })).flat();
  reference = (await policy.logprobs(kept, { of: "reference" })).flat();
  await policy.forwardBackward(kept, { surrogate: "clip" });
  await policy.optimStep({ step: 1, learningRate: 1e-2 });
  const measured = await policy.logprobs(kept, { entropy: true });
  now = measured.logprobs.flat();
  entropies = measured.entropies.flat();
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  workspace.remove();
});

function tokensOf(batch: TrainBatch): Token[] {
  return batch.groups
    .flatMap(({ sequences }) => sequences)
    .flatMap(({ advantages, weights }, sequence) =>
      Array.from(weights, (weight, token) => ({
        sequence,
        weight,
        advantage: advantages[token]!,
        logprob: now[sequence]![token]!,
        old: old[sequence]![token]!,
        reference: reference[sequence]![token]!,
        entropy: entropies[sequence]![token]!,
      })),
    );
}

/** The batch whose `nll` has a given derivative by each token's log-probability. */
function withGradient(batch: TrainBatch, gradient: readonly number[]): TrainBatch {
  let at = 0;
  return {
    id: batch.id,
    groups: batch.groups.map((group) => ({
      ...group,
      sequences: group.sequences.map(({ tokenIds }) => ({
        tokenIds,
        advantages: new Float32Array(tokenIds.length).fill(1),
        weights: Float32Array.from(gradient.slice(at, (at += tokenIds.length)), (value) => -value),
      })),
    })),
  };
}

async function gradNormOf(batch: TrainBatch, loss: LossSpec): Promise<number> {
  await policy.forwardBackward(batch, loss);
  return (await policy.optimStep({ step: policy.version + 1, learningRate: 0, maxGradNorm: 1e9 })).gradNorm;
}

describe("on a real worker", () => {
  it("the policy has left its old log-probabilities, so that ratios and clips matter", () => {
    const gaps = now.flatMap((own, index) => Array.from(own, (value, token) => Math.abs(value - old[index]![token]!)));
    expect(Math.max(...gaps)).toBeGreaterThan(0.2);
    expect(Math.min(...entropies.flatMap((own) => [...own]))).toBeGreaterThan(0);
  });

  it.each<[LossType, ObjectiveOptions]>([
    ["grpo", { epsilonHigh: 0.28, delta: 1.4, kl: "k3" }],
    ["dapo", { kl: "k1" }],
    ["dr_grpo", { kl: "k2" }],
    ["gspo", { epsilon: 0.05, epsilonHigh: 0.07 }],
    ["luspo", { epsilon: 0.05 }],
    ["cispo", { epsilonHigh: 1.1 }],
    ["cispo", { epsilon: 0.1 }],
    ["sapo", { tauNegative: 1.3 }],
  ])("%s has the formula's loss and gradient", async (lossType, options) => {
    const { loss: spec, normaliser } = objectiveOf({ lossType, beta: 0.1, ...options });
    const batch = toTrainBatch(groups, ADVANTAGES, { normaliser, maxCompletionLength: LENGTH, id: kept.id });
    const tokens = tokensOf(batch);
    const expected = weightedLoss(tokens, spec);
    const sums = await policy.forwardBackward(batch, { ...spec, old: "stored" });
    await policy.discard();
    expect(Math.abs(sums.loss - expected.loss)).toBeLessThan(1e-5);

    const built = await gradNormOf(batch, { ...spec, old: "stored" });
    const executed = await gradNormOf(withGradient(batch, expected.gradient), { surrogate: "nll" });
    expect(built).toBeGreaterThan(1e-3);
    expect(Math.abs(built / executed - 1)).toBeLessThan(1e-4);

    const rewarded = { ...spec, entropyCoefficient: 0.5 };
    const bonus = await policy.forwardBackward(batch, { ...rewarded, old: "stored" });
    await policy.discard();
    expect(Math.abs(bonus.loss - weightedLoss(tokens, rewarded).loss)).toBeLessThan(1e-5);
    expect(bonus.loss).toBeLessThan(sums.loss);
  });

  it("an entropy bonus changes the gradient", async () => {
    const without = await gradNormOf(kept, { surrogate: "clip", old: "stored" });
    const bonus = await gradNormOf(kept, { surrogate: "clip", old: "stored", entropyCoefficient: 0.5 });
    expect(Math.abs(bonus / without - 1)).toBeGreaterThan(1e-3);
  });
});

/** Random weights write no scores, so this one rates ids. */
const ids = defineReward({ name: "ids", score: ({ completion }) => variedScore(completion) });

/** Metrics of the steps of a run, which begins with the weights as they were loaded. */
async function stepsOf(config: ConfigInput): Promise<Readonly<Record<string, number | null>>[]> {
  const steps = [];
  for await (const event of train(config, { rewards: { ids }, connect: worker.connect }))
    if (event.type === "step-end") steps.push(event.metrics);
  return steps;
}

describe("a run", () => {
  it("corrects for a sampler that draws from the likeliest tokens only", async () => {
    const [first, second] = await stepsOf(
      workspace.config("corrected", {
        loss_type: "gspo",
        top_p: 0.7,
        importance_sampling_correction: true,
        importance_sampling_mode: "sequence_truncate",
        num_iterations: 2,
        max_steps: 2,
      }),
    );
    // Tokens are less likely under the whole distribution than under its nucleus, which holds at least 0.7 of it.
    const ratio = first!["sampling/importance_sampling_ratio/max"]!;
    expect(ratio).toBeLessThan(1);
    expect(first!["sampling/importance_sampling_ratio/min"]).toBeGreaterThan(0.7 ** LENGTH);
    expect(first!["sampling/sampling_logp_difference/max"]).toBeLessThanOrEqual(-Math.log(0.7) + 1e-5);
    expect(second!["sampling/importance_sampling_ratio/max"]).toBe(ratio);
    expect(second!["loss"]).not.toBe(first!["loss"]);
  });

  it("trains on tokens of high entropy, pays for the KL in the reward, and finds sampling and training the same", async () => {
    const steps = await stepsOf(
      workspace.config("masks", {
        loss_type: "cispo",
        importance_sampling_correction: true,
        top_entropy_quantile: 0.3,
        kl_in_reward: true,
        kl_estimator: "k2",
        entropy_coefficient: 0.001,
        max_steps: 2,
      }),
    );
    for (const step of steps) {
      expect(step["sampling/sampling_logp_difference/max"]).toBeLessThan(1e-4);
      expect(step["sampling/importance_sampling_ratio/mean"]).toBeCloseTo(1, 3);
      expect(step["entropy_mask/kept"]).toBeGreaterThanOrEqual(0.29);
      expect(step["entropy_mask/kept"]).toBeLessThan(0.35);
      expect(step["grad_norm"]).toBeGreaterThan(0);
      expect(step["kl"]).toBeNull();
    }
    const [before, after] = steps.map((step) => step["kl_in_reward/mean"]!);
    expect(before).toBeCloseTo(0, 6);
    expect(after).toBeGreaterThan(1e-6);
  });

  it("learns nothing from a step in which every completion was cut", async () => {
    const [step] = await stepsOf(
      workspace.config("cut", { mask_truncated_completions: true, max_completion_length: 2, max_steps: 1 }),
    );
    expect(step).toMatchObject({ "completions/clipped_ratio": 1, loss: 0, grad_norm: 0, num_tokens: 0 });
  });
});
