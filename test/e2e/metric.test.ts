import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Policy, Prompt, Row } from "../../src/index.js";
import { loadRows } from "../../src/data/index.js";
import { greedyEstimator, sampledEstimator } from "../../src/trainer/estimators.js";
import { expectedEstimator } from "../../src/trainer/expected-estimator.js";
import { createMetric, openPolicy } from "../../src/trainer/index.js";
import type { Metric, Rating, ScoreOptions } from "../../src/trainer/index.js";
import { makeAnsweringCheckpoint, TENTHS } from "./answering-checkpoint.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace(4);
});
afterAll(() => workspace.remove());

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

describe("the expected score of a checkpoint whose distribution is known", () => {
  const answers = {
    ones: [1, 2, 4, 6, 3],
    tenths: [5, 1, 2, 3, 4],
    hundredths: TENTHS.map((tenth) => Array.from({ length: 10 }, (_, digit) => 1 + ((digit + tenth) % 10))),
  };
  let metric: Metric;
  beforeAll(async () => {
    const model = join(workspace.folder, "answering");
    makeAnsweringCheckpoint(workspace.model, model, answers);
    metric = await createMetric({
      model,
      mode: "expected",
      question: "Good?",
      questionTemplate: "{Question}",
      device: "cpu",
      threads: 1,
    });
  });
  afterAll(() => metric.close());

  const inputs = () => {
    const path = (index: number): string => join(workspace.images, `picture_${index}.png`);
    return [path(0), new Uint8Array(10), readFileSync(path(1)), path(0), path(99), path(2)];
  };
  async function ratingsOf(options: ScoreOptions = {}): Promise<Rating[]> {
    const ratings: Rating[] = [];
    for await (const rating of metric.score(inputs(), options)) ratings.push(rating);
    return ratings;
  }

  it("is mean and standard deviation of that distribution", async () => {
    const all = answers.ones.flatMap((one, first) =>
      answers.tenths.flatMap((tenth, second) =>
        answers.hundredths[second]!.map((hundredth, third) => ({
          score: Math.min(5, first + 1 + TENTHS[second]! / 10 + third / 100),
          probability:
            (one / sum(answers.ones)) * (tenth / sum(answers.tenths)) * (hundredth / sum(answers.hundredths[second]!)),
        })),
      ),
    );
    const mean = sum(all.map(({ score, probability }) => score * probability));
    const variance = sum(all.map(({ score, probability }) => probability * (score - mean) ** 2));

    const [rating] = await ratingsOf();
    expect(rating).toMatchObject({ status: "ok", scores: [] });
    expect(rating!.score).toBeCloseTo(mean, 4);
    expect(rating!.std).toBeCloseTo(Math.sqrt(variance), 4);
    expect(rating!.validMass).toBeCloseTo(1, 5);
  });

  it("keeps the order around pictures that cannot be read, and gives them no score", async () => {
    const ratings = await ratingsOf({ batch: 4 });
    expect(ratings.map(({ id, status }) => [id, status])).toEqual([
      [join(workspace.images, "picture_0.png"), "ok"],
      ["bytes:1", "failed"],
      ["bytes:2", "ok"],
      [join(workspace.images, "picture_0.png"), "ok"],
      [join(workspace.images, "picture_99.png"), "failed"],
      [join(workspace.images, "picture_2.png"), "ok"],
    ]);
    expect(ratings[1]).toMatchObject({ score: null, std: null, reason: expect.stringContaining("decoded") as string });
    expect(ratings[4]).toMatchObject({ score: null, reason: expect.stringContaining("picture_99.png") as string });
  });

  it("is the same to the last bit when asked again, in batches of any size", async () => {
    const once = JSON.stringify(await ratingsOf());
    expect(JSON.stringify(await ratingsOf())).toBe(once);
    expect(JSON.stringify(await ratingsOf({ batch: 1 }))).toBe(once);
    expect(JSON.stringify(await ratingsOf({ batch: 3 }))).toBe(once);
  });
});

describe("a checkpoint with random weights", () => {
  let policy: Policy<Row>;
  let prompts: Prompt<Row>[];
  beforeAll(async () => {
    // Parts of a few rows each: another batching than the one the independent computation below gets.
    const config = workspace.config("random", { question_template: "{Question}", max_tokens_per_part: 3000 });
    policy = await openPolicy(config, { inference: true });
    prompts = await policy.encode(await loadRows(config));
  });
  afterAll(() => policy.close());

  it("has the probability of a score that the chain rule gives, token by token, and no score", async () => {
    const estimates = await (await expectedEstimator(policy))(prompts.slice(0, 2));
    for (const [index, estimate] of estimates.entries()) {
      const mass = await chainedMass(policy, prompts[index]!);
      expect(estimate.validMass! / mass).toBeCloseTo(1, 3);
      expect(estimate).toMatchObject({ score: null, std: null, scores: [], status: "failed" });
      expect(estimate.reason).toContain(`probability of ${Number(estimate.validMass!.toPrecision(3))} only`);
      expect(estimate.validMass).toBeGreaterThan(0);
      expect(estimate.validMass).toBeLessThan(1e-6);
    }
    expect(estimates[0]!.validMass).not.toBe(estimates[1]!.validMass);
  });

  it("writes answers without a score, one or several, and none is made up", async () => {
    const greedy = await greedyEstimator(policy)(prompts, undefined);
    const sampled = await sampledEstimator(policy, 3)(prompts, undefined);
    for (const estimate of [...greedy, ...sampled]) expect(estimate).toMatchObject({ score: null, status: "failed" });
    expect(greedy.map(({ scores }) => scores.length)).toEqual([1, 1, 1, 1]);
    expect(sampled.map(({ scores }) => scores)).toEqual(Array.from({ length: 4 }, () => [null, null, null]));
    expect(await sampledEstimator(policy, 3)(prompts, undefined)).toEqual(sampled);
  });

  it("cannot be trained when it was loaded for inference", async () => {
    await expect(policy.discard()).rejects.toThrow("loaded for inference");
    await expect(policy.save(workspace.config("random").output_dir!)).rejects.toThrow("loaded for inference");
  });
});

/** P(D) P(. | D) P(T | D.) P(H | D.T), summed over all scores, each token predicted behind a prompt of its own. */
async function chainedMass(policy: Policy<Row>, prompt: Prompt<Row>): Promise<number> {
  const digits = Array.from("0123456789");
  const ones = digits.slice(1, 6);
  const steps = [
    { before: [""], next: ones },
    { before: ones, next: ["."] },
    { before: ones.map((one) => `${one}.`), next: digits },
    { before: ones.flatMap((one) => digits.map((tenth) => `${one}.${tenth}`)), next: digits },
  ];
  const probability = new Map([["", 1]]);
  for (const { before, next } of steps) {
    const prefixes = await policy.tokenize(before.map((text) => `<answer>${text}`));
    const targets = await policy.tokenize(next);
    const groups = prefixes.map((prefix, index) => ({
      promptIds: Int32Array.from([...prompt.tokenIds, ...prefix]),
      images: prompt.images,
      firstIndex: index * next.length,
      sequences: targets.map((tokenIds) => ({
        tokenIds,
        advantages: new Float32Array(1),
        weights: new Float32Array(1),
      })),
    }));
    const logprobs = await policy.logprobs({ id: "chain", groups });
    for (const [index, text] of before.entries()) {
      for (const [target, token] of next.entries()) {
        probability.set(text + token, probability.get(text)! * Math.exp(logprobs[index]![target]![0]!));
      }
    }
  }
  return sum([...probability].filter(([text]) => text.length === 4).map(([, value]) => value));
}
