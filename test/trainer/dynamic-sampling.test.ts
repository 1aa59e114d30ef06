import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { advantagesOf } from "../../src/advantages/index.js";
import { defineReward, openRun } from "../../src/index.js";
import type { ConfigInput } from "../../src/index.js";
import { foldKey, uniform } from "../../src/stats/index.js";
import type { FakePrompt, FakeWorker, RecordedCall } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, runFake } from "../support/fake-run.js";
import type { FakeRun } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

/** A coin: half of the groups of two come out the same. */
const complete = ({ draw }: FakePrompt): string => (draw < 0.5 ? "heads" : "tails");
const heads = defineReward({ name: "heads", score: ({ completion: { text } }) => (text === "heads" ? 1 : 0) });
const coin = { num_generations: 2, prompts_per_step: 8, max_steps: 3, save_steps: 100 };

const run = (name: string, more: Partial<ConfigInput>, fake = { complete }): Promise<FakeRun> =>
  runFake(set.config(name, { ...coin, ...more }), { rewards: { heads } }, fake);
const callsOf = (worker: FakeWorker, method: string): RecordedCall[] =>
  worker.calls.filter((call) => call.method === method);
const keysOf = ({ tensors }: RecordedCall): bigint[] => [...(tensors["keys"]!.data as BigInt64Array)];
const attemptOf = ({ params }: RecordedCall): number => params["attempt"] as number;

/** Whether both coins of a prompt fall the same, drawn as docs/protocol.md section 5 says. */
function isFlat(key: bigint, attempt: number): boolean {
  const fell = [0, 1].map((sample) => uniform(foldKey(BigInt.asUintN(64, key), sample, attempt, 0)) < 0.5);
  return fell[0] === fell[1];
}

/** Calls of `generate`, one list for each rollout batch. */
function triesOf(worker: FakeWorker): RecordedCall[][] {
  const batches: RecordedCall[][] = [];
  for (const call of callsOf(worker, "generate")) {
    if (attemptOf(call) === 0) batches.push([]);
    batches.at(-1)!.push(call);
  }
  return batches;
}

describe("dynamic sampling", () => {
  it("is off unless it is asked for", async () => {
    const { worker, result } = await run("off", {});
    expect(callsOf(worker, "generate").map(attemptOf)).toEqual([0, 0, 0]);
    expect(Object.keys(result.metrics!).some((name) => name.startsWith("dynamic_sampling"))).toBe(false);
  });

  it("draws exactly the flat groups again, under the next number, until none is left or the tries are over", async () => {
    const { worker, events } = await run("again", { dynamic_sampling: true });
    const metrics = eventsOf(events, "step-end").map((event) => event.metrics);
    const batches = triesOf(worker);
    expect(batches.length).toBe(3);
    for (const [step, tries] of batches.entries()) {
      let keys = keysOf(tries[0]!);
      const first = keys.filter((key) => isFlat(key, 0));
      let redrawn = 0;
      for (const [attempt, call] of tries.entries()) {
        expect(attemptOf(call)).toBe(attempt);
        expect(keysOf(call)).toEqual(keys);
        if (attempt > 0) redrawn += keys.length;
        keys = keys.filter((key) => isFlat(key, attempt));
      }
      // Three tries are the default.
      expect(keys.length === 0 || tries.length === 4).toBe(true);
      expect(metrics[step]).toMatchObject({
        "dynamic_sampling/tries": tries.length - 1,
        "dynamic_sampling/redrawn": redrawn,
        "dynamic_sampling/refilled": first.length - keys.length,
        "dynamic_sampling/flat": keys.length,
        frac_reward_zero_std: keys.length / 8,
      });
    }
    expect(batches.flat().length).toBeGreaterThan(6);
  });

  it("trains on the completions that were drawn last, in the places of the first", async () => {
    const config = set.config("places", { ...coin, max_steps: 1, dynamic_sampling: true, dynamic_sampling_tries: 8 });
    const { worker, result } = await runFake(config, { rewards: { heads } }, { complete });
    expect(result.metrics).toMatchObject({ "dynamic_sampling/flat": 0, reward: 0.5 });
    const records = await (await openRun(config.output_dir!)).rollouts(1);
    const rows = records.map(({ row }) => row);
    expect(new Set(rows).size).toBe(8);
    for (const prompt of rows.keys()) if (prompt % 2 === 0) expect(rows[prompt + 1]).toBe(rows[prompt]);
    expect(records.map(({ reward }) => reward).filter((reward) => reward === 1).length).toBe(8);
    const advantages = callsOf(worker, "forwardBackward")[0]!.tensors["advantages"]!.data as Float32Array;
    expect([...new Set(advantages.map(Math.abs))]).toEqual([Math.fround(0.5 / (Math.SQRT1_2 + 1e-4))]);
  });

  it("leaves rows, their order and the number of steps what they are without it", async () => {
    const rowsOf = async (name: string, more: Partial<ConfigInput>): Promise<unknown[]> => {
      const { result } = await run(name, { ...more, prompts_per_step: 3, max_steps: -1, num_train_epochs: 2 });
      const opened = await openRun(result.folder);
      const steps = await opened.rolloutSteps();
      const records = await Promise.all(steps.map((step) => opened.rollouts(step)));
      return records.map((own) => own.map(({ row }) => row));
    };
    expect(await rowsOf("rows-on", { dynamic_sampling: true })).toEqual(await rowsOf("rows-off", {}));
  });

  it("gives up after so many tries where nothing helps, and still takes its steps", async () => {
    const more = { dynamic_sampling: true, dynamic_sampling_tries: 2, max_steps: 2 };
    const { worker, result } = await run("stuck", more, { complete: () => "heads" });
    expect(callsOf(worker, "generate").map(attemptOf)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(result).toMatchObject({ step: 2 });
    expect(result.metrics).toMatchObject({ "dynamic_sampling/refilled": 0, "dynamic_sampling/flat": 8, loss: 0 });
  });

  it("scores the whole step after every try, for rewards that compare its groups", async () => {
    const seen: number[] = [];
    const compared = defineReward({
      name: "compared",
      scoreBatch: ({ groups }) => {
        seen.push(groups.length);
        const count = groups.flatMap(({ completions }) => completions).filter(({ text }) => text === "heads").length;
        return groups.map(({ completions }) => completions.map(({ text }) => (text === "heads" ? count : 0)));
      },
    });
    const config = set.config("compared", { ...coin, max_steps: 1, dynamic_sampling: true });
    const { worker } = await runFake(config, { rewards: { compared } }, { complete });
    expect(seen.length).toBeGreaterThan(1);
    expect(seen).toEqual(callsOf(worker, "generate").map(() => 8));
    const records = await (await openRun(config.output_dir!)).rollouts(1);
    const count = records.filter(({ text }) => text === "heads").length;
    expect(new Set(records.map(({ reward }) => reward))).toEqual(new Set([0, count]));
  });
});

describe("dropping groups without spread", () => {
  const passesOf = (worker: FakeWorker) =>
    callsOf(worker, "forwardBackward").map(({ tensors }) => ({
      groups: [...(tensors["group_sizes"]!.data as Int32Array)].length,
      weight: (tensors["weights"]!.data as Float32Array).reduce((sum, weight) => sum + weight, 0),
      advantages: [...new Set(tensors["advantages"]!.data as Float32Array)],
    }));

  it.each(["grpo", "dapo"] as const)(
    "leaves them out, and the weights of %s add up over the others",
    async (loss_type) => {
      const { worker, events } = await run(`drop-${loss_type}`, { loss_type, drop_zero_variance_groups: true });
      const flat = callsOf(worker, "generate").map((call) => keysOf(call).filter((key) => isFlat(key, 0)).length);
      expect(Math.max(...flat)).toBeGreaterThan(0);
      const passes = passesOf(worker);
      expect(passes.map(({ groups }) => groups)).toEqual(flat.map((count) => 8 - count));
      for (const { weight, advantages } of passes) {
        expect(weight).toBeCloseTo(1, 6);
        expect(advantages).not.toContain(0);
      }
      expect(eventsOf(events, "step-end").map(({ metrics }) => metrics["zero_variance_groups/dropped"])).toEqual(flat);
      expect(eventsOf(events, "step-end").map(({ metrics }) => metrics["frac_reward_zero_std"])).toEqual(
        flat.map((count) => count / 8),
      );
    },
  );

  it("normalises advantages over what remains, too", async () => {
    const config = set.config("drop-batch", {
      ...coin,
      max_steps: 1,
      drop_zero_variance_groups: true,
      scale_rewards: "batch",
    });
    const { worker } = await runFake(config, { rewards: { heads } }, { complete });
    const { groups, advantages } = passesOf(worker)[0]!;
    const totals = Array.from({ length: groups }, () => [0, 1]);
    const expected = advantagesOf(
      { totals, breakdown: {}, weights: {} },
      { estimator: "group", scale: "batch" },
    ).flat();
    expect(new Set(advantages)).toEqual(new Set(expected.map(Math.fround)));
  });

  it("keeps a prompt for each update, so that no step is missing", async () => {
    const { worker, result } = await run(
      "drop-all",
      { drop_zero_variance_groups: true, per_device_train_batch_size: 8, max_steps: 4 },
      { complete: () => "heads" },
    );
    expect(passesOf(worker).map(({ groups }) => groups)).toEqual([1, 1, 1, 1]);
    expect(result).toMatchObject({ step: 4 });
    expect(result.metrics).toMatchObject({ "zero_variance_groups/dropped": 6, loss: 0 });
  });
});

describe("the estimator of the configuration", () => {
  it.each([
    ["rloo", { advantage_estimator: "rloo" }, { estimator: "rloo" }],
    [
      "rloo over the batch",
      { advantage_estimator: "rloo", scale_rewards: "batch" },
      { estimator: "rloo", scale: "batch" },
    ],
    [
      "reinforce++",
      { advantage_estimator: "reinforce_plus_plus_baseline" },
      { estimator: "reinforce_plus_plus_baseline" },
    ],
    ["pass at 2", { advantage_estimator: "pass_at_k", pass_at_k: 2 }, { estimator: "pass_at_k", k: 2 }],
    ["gdpo", { advantage_estimator: "gdpo" }, { estimator: "gdpo" }],
  ] as const)("is what the loss gets: %s", async (name, asked, options) => {
    const length = defineReward({ name: "length", score: ({ completion: { text } }) => 0.01 * text.length });
    const config = set.config(name, { ...coin, ...asked, num_generations: 4, max_steps: 1 });
    const rewards = { heads: 1, length: { reward: length, weight: 0.5 } };
    const uneven = ({ draw }: FakePrompt): string => (draw < 0.5 ? "heads" : "tails".repeat(Math.ceil(draw * 9)));
    const { worker } = await runFake(config, { rewards: { ...rewards, heads } }, { complete: uneven });

    const records = await (await openRun(config.output_dir!)).rollouts(1);
    const grouped = <T>(of: (record: (typeof records)[number]) => T): T[][] =>
      Array.from({ length: 8 }, (_, prompt) => records.filter((record) => record["prompt"] === prompt).map(of));
    const breakdown = Object.fromEntries(
      ["heads", "length"].map((reward) => [
        reward,
        grouped((record) => (record["rewards"] as Record<string, number>)[reward]!),
      ]),
    );
    const earned = {
      totals: grouped((record) => record["reward"] as number),
      breakdown,
      weights: { heads: 1, length: 0.5 },
    };
    const expected = advantagesOf(earned, options).flat();
    const { advantages, completion_lengths: lengths } = callsOf(worker, "forwardBackward")[0]!.tensors;
    let at = 0;
    for (const [index, size] of Array.from(lengths!.data as Int32Array).entries()) {
      const own = (advantages!.data as Float32Array).slice(at, (at += size));
      expect([...new Set(own)]).toEqual([Math.fround(expected[index]!)]);
    }
    expect(new Set(expected).size).toBeGreaterThan(4);
  });
});
