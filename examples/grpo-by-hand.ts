/**
 * GRPO with everything written down: advantages, clipped surrogate, KL term, weights. Change any line of it.
 *
 * Source: DeepSeekMath (arXiv 2402.03300), equations 3 and 4.
 *
 *     npx tsx examples/grpo-by-hand.ts CHECKPOINT train.jsonl IMAGES
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { createSampler, loadRows, openPolicy, resolveConfig, scoreRewards, toTrainBatch } from "thurstone";
import type { ConfigInput, CustomLoss, OpenPolicyOptions, Policy, Row } from "thurstone";
import { tape } from "thurstone/losses";
import { mean, standardDeviation } from "thurstone/stats";

const REWARDS = { fidelity: 1, format: 0.5 };

/** The loss of `{ surrogate: "clip", epsilon, beta }`, and its gradient to the last bits of 32-bit numbers. */
export function grpoLoss({ epsilon = 0.2, beta = 0.04 } = {}): CustomLoss {
  return tape((t, { policy, old, reference, advantages, weights }) => {
    const ratio = t.exp(t.sub(policy, old));
    const clipped = t.clamp(ratio, 1 - epsilon, 1 + epsilon);
    const surrogate = t.neg(t.min(t.mul(ratio, advantages), t.mul(clipped, advantages)));
    const gap = t.sub(reference, policy);
    const kl = t.sub(t.exp(gap), t.add(gap, 1));
    // A weight is 1 / (completions * tokens of this one).
    return t.sum(t.mul(weights, t.add(surrogate, t.mul(beta, kl))));
  });
}

/** @returns the loss */
export async function grpoStep(policy: Policy<Row>, rows: readonly Row[], learningRate: number): Promise<number> {
  const step = policy.version + 1;
  const groups = await policy.generate(await policy.encode(rows), { samples: 6, step });
  const { totals } = await scoreRewards(groups, REWARDS);
  const advantages = totals.map((group) => {
    const rewards = group.map((reward) => reward ?? 0);
    return rewards.map((reward) => (reward - mean(rewards)!) / (standardDeviation(rewards)! + 1e-4));
  });
  const { loss } = await policy.forwardBackward(toTrainBatch(groups, advantages), grpoLoss(), { reference: true });
  await policy.optimStep({ step, learningRate });
  return loss;
}

/** A whole run; returns the loss of every step. */
export async function grpoByHand(input: ConfigInput, options: OpenPolicyOptions = {}): Promise<number[]> {
  const config = resolveConfig({ ...input, beta: 0.04 });
  const losses: number[] = [];
  await using policy = await openPolicy(config, options);
  for await (const { rows } of createSampler(await loadRows(config), config)) {
    losses.push(await grpoStep(policy, rows, config.learning_rate));
    console.log(`step ${losses.length}: loss ${losses.at(-1)!.toFixed(4)}`);
  }
  return losses;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [model, data, images] = process.argv.slice(2);
  if (model === undefined || data === undefined || images === undefined) {
    throw new Error("Give a checkpoint, a JSONL file and a folder of pictures.");
  }
  await grpoByHand({ model_name_or_path: model, data_file_paths: data, image_folders: images });
}
