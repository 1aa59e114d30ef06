import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { groupAdvantages, openRun, schedules } from "../../src/index.js";
import type { FakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, methodsOf, runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

const callsOf = (worker: FakeWorker, method: string) => worker.calls.filter((call) => call.method === method);
const ratesOf = (worker: FakeWorker): unknown[] =>
  callsOf(worker, "optimStep").map(({ params }) => params["learning_rate"]);

describe("the updates of a rollout batch", () => {
  it("are one by default: no stored log-probabilities are needed", async () => {
    const { worker } = await runFake(set.config("one", { max_steps: 2 }));
    const step = ["generate", "forwardBackward", "optimStep"];
    expect(methodsOf(worker)).toEqual(["load", ...step, ...step, "save", "export"]);
    expect(callsOf(worker, "forwardBackward")[0]!.params).toMatchObject({
      policy_version: 0,
      step: 1,
      part: 0,
      temperature: 1,
      loss: { surrogate: "clip", epsilon: 0.2, epsilon_high: 0.2, beta: 0.04, kl: "k3", old: "detach" },
    });
  });

  it("are as many as num_iterations, against the log-probabilities before the first", async () => {
    const { worker, result, events } = await runFake(set.config("twice", { num_iterations: 2 }));
    const update = ["forwardBackward", "optimStep"];
    const batch = ["generate", "logprobs", ...update, ...update];
    expect(methodsOf(worker)).toEqual(["load", ...batch, "save", ...batch, "save", "export"]);
    const stored = callsOf(worker, "logprobs");
    expect(stored.map(({ params }) => [params["of"], params["store"], params["policy_version"]])).toEqual([
      ["policy", true, 0],
      ["policy", true, 2],
    ]);
    const passes = callsOf(worker, "forwardBackward");
    expect(passes.map(({ params }) => (params["loss"] as { old: string }).old)).toEqual(
      Array.from({ length: 4 }, () => "stored"),
    );
    expect(passes[1]!.params["batch_id"]).toBe(passes[0]!.params["batch_id"]);
    expect(passes[1]!.params["batch_id"]).toBe(stored[0]!.params["batch_id"]);
    expect(passes[1]!.tensors).toEqual(passes[0]!.tensors);
    expect(passes[2]!.params["batch_id"]).not.toBe(passes[0]!.params["batch_id"]);
    expect(result.step).toBe(4);
    expect(eventsOf(events, "step-end").map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect(eventsOf(events, "step-start").map(({ step }) => step)).toEqual([1, 3]);
  });

  it("are several per pass when an update takes fewer completions, each normalised over itself", async () => {
    const config = set.config("split", { prompts_per_step: 4, per_device_train_batch_size: 8, max_steps: 4 });
    const { worker } = await runFake(config);
    const passes = callsOf(worker, "forwardBackward");
    expect(passes.length).toBe(4);
    for (const { tensors } of passes) {
      expect(tensors["completion_lengths"]!.data.length).toBe(8);
      const weights = tensors["weights"]!.data as Float32Array;
      expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 6);
    }
    expect(Array.from(passes[1]!.tensors["completion_index"]!.data as Int32Array)).toEqual([
      8, 9, 10, 11, 12, 13, 14, 15,
    ]);
    expect(passes.map(({ params }) => [params["step"], params["part"]])).toEqual([1, 2, 3, 4].map((step) => [step, 0]));
  });

  it("gather passes of per_device_train_batch_size completions", async () => {
    const { worker } = await runFake(
      set.config("parts", {
        prompts_per_step: 4,
        max_steps: 1,
        per_device_train_batch_size: 4,
        gradient_accumulation_steps: 4,
      }),
    );
    const passes = callsOf(worker, "forwardBackward");
    expect(passes.map(({ params }) => [params["step"], params["part"]])).toEqual([0, 1, 2, 3].map((part) => [1, part]));
    expect(callsOf(worker, "optimStep")[0]!.params).toMatchObject({ step: 1, parts: 4 });
    const total = passes.flatMap(({ tensors }) => [...(tensors["weights"]!.data as Float32Array)]);
    expect(total.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 6);
  });

  it("carry the group-relative advantages of the recorded rewards", async () => {
    const config = set.config("advantages", { max_steps: 1, scale_rewards: "batch" });
    const { worker } = await runFake(config);
    const records = await (await openRun(config.output_dir!)).rollouts(1);
    const rewards = [0, 1, 2].map((prompt) =>
      records.filter((record) => record["prompt"] === prompt).map(({ reward }) => reward as number),
    );
    const expected = groupAdvantages(rewards, { scale: "batch" }).flat();
    const { advantages, completion_lengths: lengths } = callsOf(worker, "forwardBackward")[0]!.tensors;
    let at = 0;
    for (const [index, length] of Array.from(lengths!.data as Int32Array).entries()) {
      const own = (advantages!.data as Float32Array).slice(at, (at += length));
      expect([...new Set(own)]).toEqual([Math.fround(expected[index]!)]);
    }
  });
});

describe("the learning rate", () => {
  it.each(["linear", "cosine"] as const)("follows the %s schedule with warm-up, step by step", async (type) => {
    const config = set.config(type, { lr_scheduler_type: type, warmup_ratio: 0.4, learning_rate: 1e-3, max_steps: 5 });
    const { worker, events } = await runFake(config);
    const schedule = schedules[type]({ learningRate: 1e-3, warmupSteps: 2, totalSteps: 5 });
    const expected = [1, 2, 3, 4, 5].map(schedule);
    expect(expected[0]).toBe(0);
    expect(expected[1]).toBe(5e-4);
    expect(ratesOf(worker)).toEqual(expected);
    expect(eventsOf(events, "step-end").map(({ metrics }) => metrics["learning_rate"])).toEqual(expected);
  });

  it("counts updates, not batches, and gradients are clipped as configured", async () => {
    const { worker } = await runFake(
      set.config("counted", { num_iterations: 2, learning_rate: 1, max_grad_norm: 0.5 }),
    );
    expect(ratesOf(worker)).toEqual([1, 0.75, 0.5, 0.25]);
    expect(new Set(callsOf(worker, "optimStep").map(({ params }) => params["max_grad_norm"]))).toEqual(new Set([0.5]));
  });
});

describe("the length of a run", () => {
  it("is num_train_epochs over the rows unless max_steps says otherwise", async () => {
    const { result } = await runFake(set.config("epochs", { max_steps: -1, num_train_epochs: 2 }));
    expect(result).toMatchObject({ step: 5, steps: 5 });
  });

  it("leaves held-out rows out of training", async () => {
    const config = set.config("held", { val_split_ratio: 0.25, max_steps: -1, prompts_per_step: 2 });
    const { events } = await runFake(config);
    expect(eventsOf(events, "eval-end")[0]!.results[0]!.n).toBe(2);
    const run = await openRun(config.output_dir!);
    const trained = new Set<unknown>();
    for (const step of await run.rolloutSteps()) for (const { row } of await run.rollouts(step)) trained.add(row);
    expect(trained.size).toBe(6);
  });
});

describe("saving", () => {
  const steps = (folder: string): string[] => readdirSync(join(folder, "checkpoints")).sort();

  it("happens every save_steps and at the end, and keeps the newest save_total_limit", async () => {
    const config = set.config("limit", { save_steps: 2, max_steps: 7, save_total_limit: 2 });
    const { events } = await runFake(config);
    expect(eventsOf(events, "checkpoint-end").map(({ step }) => step)).toEqual([2, 4, 6, 7]);
    expect(steps(config.output_dir!)).toEqual(["step_000006", "step_000007"]);
  });

  it("happens at the end of the rollout batch in which a multiple falls", async () => {
    const config = set.config("multiple", { save_steps: 3, max_steps: 8, num_iterations: 2 });
    await runFake(config);
    expect(steps(config.output_dir!)).toEqual(["step_000004", "step_000006", "step_000008"]);
  });

  it("writes the model only where that is asked for", async () => {
    const config = set.config("model-only", { save_only_model: true });
    const { worker } = await runFake(config);
    expect(methodsOf(worker)).not.toContain("save");
    const checkpoint = join(config.output_dir!, "checkpoints/step_000004");
    expect(readdirSync(checkpoint).sort()).toEqual(["manifest.json", "model"]);
    expect(readdirSync(join(checkpoint, "model"))).toEqual(["weight.json"]);
  });

  it("replaces the exported model of an earlier stretch of the run", async () => {
    const config = set.config("export", { lr_scheduler_type: "constant", learning_rate: 1 });
    await runFake(config);
    const model = join(config.output_dir!, "model/weight.json");
    const before = readFileSync(model, "utf8");
    await runFake({ ...config, max_steps: 5, resume_from_checkpoint: true });
    expect(readFileSync(model, "utf8")).not.toBe(before);
    expect(existsSync(join(config.output_dir!, "model.new"))).toBe(false);
  });
});

describe("logging_steps", () => {
  it("thins the lines of metrics, never the events, and keeps the last step", async () => {
    const config = set.config("logging", { logging_steps: 3, max_steps: 5 });
    const { events } = await runFake(config);
    const run = await openRun(config.output_dir!);
    expect((await run.metrics()).map(({ step }) => step)).toEqual([3, 5]);
    expect(eventsOf(events, "step-end").length).toBe(5);
  });
});
