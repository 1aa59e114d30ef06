import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dpoLoss, preferences } from "../../examples/dpo.js";
import { grpoLoss } from "../../examples/grpo-by-hand.js";
import { rankingStep } from "../../examples/pairwise-ranking.js";
import { loadRows, openPolicy, resolveConfig, toTrainBatch } from "../../src/index.js";
import type { CustomLoss, CustomLossOptions, LossSpec, LossSums, Policy, Row, TrainBatch } from "../../src/index.js";
import { tape } from "../../src/losses/index.js";
import { planParts } from "../../src/policy/index.js";
import { largestDifference, readTensors } from "./safetensors.js";
import type { Tensor } from "./safetensors.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

/** The second update sees ratios that are clipped and a policy that has left the reference. */
const LEARNING_RATES = [1e-2, 2e-3];
/** Few enough that an update takes several parts and a group is cut. */
const MAX_TOKENS = 50;

let workspace: Workspace;
let policy: Policy<Row>;
let rows: Row[];
let batch: TrainBatch;
/** Training state as loaded. */
let start: string;
beforeAll(async () => {
  workspace = await createWorkspace();
  const config = resolveConfig(
    workspace.config("custom", {
      temperature: 0.9,
      beta: 0.1,
      adam_epsilon: 1e-4,
      max_grad_norm: null,
      max_tokens_per_part: MAX_TOKENS,
    }),
  );
  rows = await loadRows(config);
  policy = await openPolicy(config);
  start = join(config.output_dir, "start");
  mkdirSync(start, { recursive: true });
  await policy.save(start);
  const groups = await policy.generate(await policy.encode(rows.slice(0, 3)), { samples: 3, step: 1 });
  const advantages = groups.map((_, prompt) => [1, 2, 3].map((sample) => Math.sin(7 * prompt + 3 * sample)));
  batch = toTrainBatch(groups, advantages);
});
afterAll(async () => {
  await policy.close();
  workspace.remove();
});

interface Trained {
  readonly sums: readonly LossSums[];
  readonly gradNorms: readonly number[];
  readonly weights: Map<string, Tensor>;
  /** Adam's moments: what the gradients were. */
  readonly moments: Map<string, Tensor>;
}

/** Two updates on the batch from the weights as loaded. */
async function trained(name: string, forward: () => Promise<LossSums>): Promise<Trained> {
  await policy.restore(start);
  await policy.logprobs(batch, { store: true });
  const sums: LossSums[] = [];
  const gradNorms: number[] = [];
  for (const [index, learningRate] of LEARNING_RATES.entries()) {
    sums.push(await forward());
    gradNorms.push((await policy.optimStep({ step: index + 1, learningRate })).gradNorm);
  }
  const folder = join(workspace.folder, "custom", name);
  mkdirSync(folder);
  await policy.save(folder);
  const [weights, moments] = ["weights", "optimizer"].map((file) => readTensors(join(folder, `${file}.safetensors`)));
  return { sums, gradNorms, weights: weights!, moments: moments! };
}

async function expectEqual(name: string, spec: LossSpec, loss: CustomLoss, options: CustomLossOptions): Promise<void> {
  const builtIn = await trained(`${name} built in`, () => policy.forwardBackward(batch, spec));
  const custom = await trained(`${name} custom`, () => policy.forwardBackward(batch, loss, options));
  for (const index of LEARNING_RATES.keys()) {
    const norm = builtIn.gradNorms[index]!;
    expect(norm).toBeGreaterThan(1e-2);
    expect(Math.abs(custom.gradNorms[index]! - norm) / norm).toBeLessThan(1e-6);
    expect(Math.abs(custom.sums[index]!.loss - builtIn.sums[index]!.loss)).toBeLessThan(1e-6);
  }
  expect(largestDifference(custom.moments, builtIn.moments)).toBeLessThan(1e-6);
  expect(largestDifference(custom.weights, builtIn.weights)).toBeLessThan(1e-6);
  expect(largestDifference(custom.weights, readTensors(join(start, "weights.safetensors")))).toBeGreaterThan(1e-3);
}

describe("through a real worker and in several parts, a custom loss trains as the built-in one does:", () => {
  it("clip with a KL term, against stored log-probabilities", async () => {
    expect(planParts(batch.groups, { maxTokens: MAX_TOKENS }).length).toBeGreaterThan(batch.groups.length);
    const [epsilon, beta] = [0.05, 0.1];
    const spec: LossSpec = { surrogate: "clip", epsilon, beta, old: "stored" };
    await expectEqual("clip", spec, grpoLoss({ epsilon, beta }), { old: "stored", reference: true });
    const { sums } = await trained("clip again", () => policy.forwardBackward(batch, spec));
    expect(sums[1]!.clippedLow + sums[1]!.clippedHigh).toBeGreaterThan(2);
    expect(sums[1]!.kl / sums[1]!.tokens).toBeGreaterThan(1e-3);
  });

  it("a clipped ratio per completion (GSPO)", async () => {
    const loss = tape((t, { policy: now, old, advantages, weights, completions }) => {
      const ratio = t.exp(t.spread(t.segmentMean(t.sub(now, old), completions), completions));
      const clipped = t.clamp(ratio, 0.7, 1.4);
      return t.neg(t.sum(t.mul(weights, t.min(t.mul(ratio, advantages), t.mul(clipped, advantages)))));
    });
    const spec: LossSpec = { surrogate: "sequence_clip", epsilon: 0.3, epsilonHigh: 0.4, old: "stored" };
    await expectEqual("sequence", spec, loss, { old: "stored" });
  });

  it("a capped ratio as a weight (CISPO)", async () => {
    const loss = tape((t, { policy: now, old, advantages, weights }) => {
      const capped = t.stopGradient(t.min(t.exp(t.sub(now, old)), 1.02));
      return t.neg(t.sum(t.mul(weights, t.mul(capped, t.mul(advantages, now)))));
    });
    await expectEqual("cispo", { surrogate: "cispo", epsilonHigh: 1.02, old: "stored" }, loss, { old: "stored" });
  });

  it("nll, with a derivative worked out by hand", async () => {
    const loss: CustomLoss = async ({ policy: logprobs, advantages, weights }) => {
      const derivative = weights.map((weight, token) => -weight * advantages[token]!);
      return { loss: derivative.reduce((sum, slope, token) => sum + slope * logprobs[token]!, 0), derivative };
    };
    await expectEqual("nll", { surrogate: "nll" }, loss, {});
  });
});

it("after a refused loss nothing is accumulated on the worker", async () => {
  await policy.restore(start);
  await policy.forwardBackward(batch, { surrogate: "nll" });
  const refused = policy.forwardBackward(batch, ({ policy: logprobs }) => ({ loss: NaN, derivative: logprobs }));
  await expect(refused).rejects.toMatchObject({ name: "LossError", code: "LOSS_NOT_FINITE" });
  await expect(policy.optimStep({ step: 1, learningRate: 0 })).rejects.toMatchObject({ code: "BAD_ARGUMENT" });
  await policy.forwardBackward(batch, ({ policy: { length } }) => ({ loss: 0, derivative: new Float64Array(length) }));
  expect(await policy.optimStep({ step: 1, learningRate: 0 })).toEqual({ gradNorm: 0, skipped: false });
});

describe("the examples' losses teach", () => {
  it("DPO to prefer the chosen answers, from a loss of log 2", async () => {
    await policy.restore(start);
    const prompts = await policy.encode(rows.slice(0, 2));
    const answers = await policy.tokenize(["It is sharp.", "Noise everywhere"], { appendEos: true });
    const groups = prompts.map((prompt) => ({ prompt, completions: answers.map((tokenIds) => ({ tokenIds })) }));
    const pairs = toTrainBatch(groups, [[0, 0], [0, 0]]); // prettier-ignore
    const loss = dpoLoss(preferences([[1, 0], [0, 1]])); // prettier-ignore
    const losses: number[] = [];
    for (let step = 1; step <= 8; step += 1) {
      losses.push((await policy.forwardBackward(pairs, loss, { reference: true })).loss);
      await policy.optimStep({ step, learningRate: 3e-3 });
    }
    expect(losses[0]).toBeCloseTo(Math.LN2, 6);
    expect(losses.at(-1)).toBeLessThan(0.6);
  });

  it("pairwise ranking to put pictures in the order of their labels", async () => {
    await policy.restore(start);
    const losses: number[] = [];
    for (let step = 1; step <= 8; step += 1) losses.push(await rankingStep(policy, rows.slice(0, 3), 2e-3));
    expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
  });
});
