import { afterAll, beforeAll, expect, it } from "vitest";
import type { PlainMap, Tensors } from "../../src/bridge/index.js";
import { advantagesOf, defineReward, openRun, train } from "../../src/index.js";
import { watchedWorker } from "./watched-worker.js";
import type { WatchedCall } from "./watched-worker.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

const BETA = 0.3;
const SAMPLES = 2;

/** Random weights begin an answer with any token, so that some groups are paid the same and are left out. */
const low = defineReward({ name: "low", score: ({ completion }) => (completion.tokenIds[0]! < 256 ? 1 : 0) });

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace();
});
afterAll(() => workspace.remove());

const floats = (tensors: Tensors, name: string): number[] => Array.from(tensors[name]!.data as Float32Array);
const integers = (tensors: Tensors, name: string): number[] => Array.from(tensors[name]!.data as Int32Array);

/** Cuts flat values of all tokens into completions. */
function cut(values: readonly number[], lengths: readonly number[]): number[][] {
  let at = 0;
  return lengths.map((length) => values.slice(at, (at += length)));
}

it("a real worker is sent advantages of rewards less beta times the KL, over the groups that stay", async () => {
  const seen: WatchedCall[] = [];
  const config = workspace.config("run", {
    num_generations: SAMPLES,
    prompts_per_step: 8,
    max_steps: 4,
    num_iterations: 2,
    learning_rate: 2e-2,
    lr_scheduler_type: "constant",
    beta: BETA,
    kl_in_reward: true,
    kl_estimator: "k1",
    advantage_estimator: "rloo",
    drop_zero_variance_groups: true,
    max_tokens_per_part: 100_000,
  });
  // Two updates on one rollout batch; the next batch sees a policy that has left the reference.
  await train(config, { rewards: { low }, connect: watchedWorker((call) => seen.push(call)) }).result;

  const run = await openRun(config.output_dir!);
  const steps = await run.rolloutSteps();
  expect(steps).toEqual([1, 3]);
  const metrics = await run.metrics();
  const measured = seen.filter(({ method }) => method === "logprobs");
  const passes = seen.filter(({ method }) => method === "forwardBackward");
  expect(measured.map(({ params }) => params["of"])).toEqual(["policy", "reference", "policy", "reference"]);
  expect(passes.map(({ params }) => (params["loss"] as PlainMap)["beta"])).toEqual([0, 0, 0, 0]);

  for (const [batch, step] of steps.entries()) {
    const records = await run.rollouts(step);
    const rewards = Array.from({ length: 8 }, (_, prompt) =>
      records.filter((record) => record["prompt"] === prompt).map(({ reward }) => reward as number),
    );
    const kept = rewards.filter((group) => new Set(group).size > 1);
    const pass = passes[2 * batch]!;
    const lengths = integers(pass.sent, "completion_lengths");
    expect(integers(pass.sent, "group_sizes")).toEqual(kept.map(() => SAMPLES));

    const [own, reference] = measured
      .slice(2 * batch, 2 * batch + 2)
      .map(({ reply }) => floats(reply.tensors, "logprobs"));
    const kl = cut(
      own!.map((logprob, token) => logprob - reference![token]!),
      lengths,
    ).map((tokens) => tokens.reduce((sum, one) => sum + one, 0));
    const totals = kept.map((group, prompt) =>
      group.map((reward, sample) => reward - BETA * kl[SAMPLES * prompt + sample]!),
    );
    const expected = advantagesOf({ totals, breakdown: {}, weights: {} }, { estimator: "rloo" }).flat();
    cut(floats(pass.sent, "advantages"), lengths).forEach((advantages, index) => {
      for (const advantage of advantages) expect(advantage).toBeCloseTo(expected[index]!, 6);
    });
    const mean = kl.reduce((sum, one) => sum + one, 0) / kl.length;
    expect(metrics.find((one) => one.step === step)!.values["kl_in_reward/mean"]).toBeCloseTo(mean, 6);
    // Worth something: nothing is paid at first, and the rewards are not what they were once the policy has moved.
    if (batch === 0) expect(Math.max(...kl.map(Math.abs))).toBeLessThan(1e-5);
    else expect(Math.max(...kl.map(Math.abs))).toBeGreaterThan(0.1);
  }
  const dropped = metrics.map((one) => one.values["zero_variance_groups/dropped"]!);
  expect(Math.max(...dropped)).toBeGreaterThan(0);
});
