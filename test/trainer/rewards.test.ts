import { join } from "node:path";
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { defineReward, openRun, train } from "../../src/index.js";
import type { RewardRecord } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { fidelity } from "../../src/rewards/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet({ extra: (row) => ({ weather: row % 2 === 0 ? "rain" : "sun" }) });
});
afterAll(() => set.remove());

const rollouts = async (folder: string): Promise<Record<string, unknown>[]> => (await openRun(folder)).rollouts(1);
/** The rewards of the first step, by name, one per completion. */
async function valuesOf(folder: string, name: string): Promise<number[]> {
  return (await rollouts(folder)).map((record) => (record["rewards"] as Record<string, number>)[name]!);
}

describe("own rewards in a run", () => {
  it("judge one completion, a group, or the whole step", async () => {
    const config = set.config("scopes", { max_steps: 1 });
    const rewards: RewardRecord = {
      sample: defineReward({
        name: "sample",
        row: z.object({ mos: z.number() }),
        score: ({ completion, row }) => completion.index + row.mos,
      }),
      rank: defineReward({
        name: "rank",
        scoreGroup: async ({ completions }) => completions.map((_, index) => 3 - index),
      }),
      place: {
        weight: 0.5,
        reward: defineReward({
          name: "place",
          scoreBatch: ({ groups }) => groups.map((group, prompt) => group.completions.map(() => prompt)),
        }),
      },
    };
    const { result } = await runFake(config, { rewards });

    const records = await rollouts(config.output_dir!);
    for (const [index, record] of records.entries()) {
      const sample = index % 4;
      const prompt = Math.floor(index / 4);
      const mos = record["mos"] as number;
      expect(record["rewards"]).toEqual({ sample: sample + mos, rank: 3 - sample, place: prompt });
      expect(record["reward"]).toBe(mos + 3 + 0.5 * prompt);
    }
    expect(result.metrics).toMatchObject({
      "rewards/rank/mean": 1.5,
      "rewards/place/mean": 1,
      frac_reward_zero_std: 1,
    });
  });

  it("see the fields of the data file, and the step", async () => {
    const config = set.config("fields", { max_steps: 1 });
    const seen = new Set<unknown>();
    const weather = defineReward({
      name: "weather",
      row: z.object({ id: z.string(), weather: z.enum(["rain", "sun"]) }),
      score: ({ row, step }) => {
        seen.add(step);
        return row.weather === (Number(row.id) % 2 === 0 ? "rain" : "sun") ? 1 : 0;
      },
    });
    await runFake(config, { rewards: { weather } });
    expect(await valuesOf(config.output_dir!, "weather")).toEqual(Array.from({ length: 12 }, () => 1));
    expect(seen).toEqual(new Set([1]));
  });

  it("replace those the configuration names, in its record as well", async () => {
    const one = defineReward({ name: "one", score: () => 1 });
    const config = set.config("replaced", { max_steps: 1, prompts_per_step: 1, reward_weights: [1, 2] });
    const { result } = await runFake(config, { rewards: { one: { reward: one, weight: 0.25 }, format: 2 } });
    expect(result.metrics).toMatchObject({ reward: 2.25, "rewards/one/mean": 1, "rewards/format/mean": 1 });
    expect(await (await openRun(config.output_dir!)).config()).toMatchObject({
      reward_funcs: ["one", "format"],
      reward_weights: [0.25, 2],
    });
  });

  it("that leave a completion unjudged give it no advantage, and are counted", async () => {
    const config = set.config("null", { max_steps: 1 });
    const shy = defineReward({
      name: "shy",
      score: ({ completion }) => (completion.index === 0 ? null : completion.index),
    });
    const { result, worker } = await runFake(config, { rewards: { shy } });
    expect(result.metrics).toMatchObject({ "rewards/shy/missing": 3, "rewards/shy/mean": 2, reward: 2 });
    const { advantages } = worker.calls.find(({ method }) => method === "forwardBackward")!.tensors;
    const perCompletion = Array.from({ length: 12 }, (_, index) => advantages!.data[index * 41]);
    expect(perCompletion.slice(0, 4)).toEqual([0, Math.fround(-1 / 1.0001), 0, Math.fround(1 / 1.0001)]);
  });

  it.each([
    ["throws", () => Promise.reject(new Error("no judge in town")), "REWARD_THREW", "no judge in town"],
    ["returns no number", () => Number.NaN, "REWARD_NOT_A_NUMBER", "NaN"],
  ])("that %s ends the run by name, step and row", async (_, score, code, reason) => {
    const worker = createFakeWorker();
    const judge = defineReward({ name: "judge", score });
    const { result } = train(set.config(`error-${code}`), { connect: worker.connect, rewards: { judge } });
    const error = await result.catch((failure: unknown) => failure);
    expect(error).toMatchObject({ name: "RewardError", code, fields: { reward: "judge", step: 1, sample: 0 } });
    expect((error as Error).message).toMatch(/^the reward "judge" .*\(step 1, row \d, sample 0\)\.$/);
    expect((error as Error).message).toContain(reason);
    expect(worker.open).toBe(0);
  });

  it("are given up when the run is aborted", async () => {
    const abort = new AbortController();
    let told = false;
    const slow = defineReward({
      name: "slow",
      score: ({ signal }) =>
        new Promise<number>((resolve) => {
          signal.addEventListener("abort", () => {
            told = true;
            resolve(0);
          });
          abort.abort(new Error("no patience"));
        }),
    });
    const { result } = train(set.config("abort-reward"), {
      connect: createFakeWorker().connect,
      rewards: { slow },
      signal: abort.signal,
    });
    await expect(result).rejects.toThrow("no patience");
    expect(told).toBe(true);
  });

  it("that hang end the run by name, and leave no worker behind", async () => {
    const worker = createFakeWorker();
    const hung = defineReward({
      name: "hung",
      timeoutMs: 20,
      retries: 1,
      backoffMs: 1,
      score: () => new Promise(() => undefined),
    });
    const { result } = train(set.config("hung"), { connect: worker.connect, rewards: { hung } });
    await expect(result).rejects.toMatchObject({
      name: "RewardError",
      code: "REWARD_TIMEOUT",
      message: expect.stringMatching(
        /^the reward "hung" gave no answer within 0.02 s in each of 2 tries; .*step 1, row/,
      ) as string,
    });
    expect(worker.open).toBe(0);
  });

  it("need a name that exists", async () => {
    const { result } = train(set.config("unknown"), { connect: createFakeWorker().connect, rewards: { fidelty: 1 } });
    await expect(result).rejects.toMatchObject({ code: "CONFIG_REWARD_UNKNOWN" });
  });
});

describe("preferences by majority vote", () => {
  it("train on rows without opinion scores", async () => {
    const config = set.config("votes", { max_steps: 1, preference: "majority_vote", reward_funcs: ["fidelity"] });
    const lines = readFileSync(set.data, "utf8").trim().split("\n");
    const data = join(set.folder, "unlabelled.jsonl");
    const bare = lines.map((line) => {
      const { conversations, ...row } = JSON.parse(line) as { conversations: unknown[] };
      return JSON.stringify({ ...row, conversations: conversations.slice(0, 1) });
    });
    writeFileSync(data, `${bare.join("\n")}\n`);
    const { result } = await runFake({ ...config, data_file_paths: [data] });
    const records = await rollouts(config.output_dir!);
    const groups = [0, 1, 2].map((prompt) => ({
      dataset: "tiny",
      scores: records.filter((record) => record["prompt"] === prompt).map(({ score }) => score as number),
    }));
    expect(records.map(({ mos }) => mos)).toEqual(records.map(() => null));
    expect(records.map(({ reward }) => reward)).toEqual(fidelity(groups, { preference: "majority_vote" }).flat());
    expect(result.metrics!.reward).toBeGreaterThan(0);
  });
});

describe("a module of rewards", () => {
  it("is loaded as TypeScript, with thurstone/rewards and zod", async () => {
    const config = set.config("module", { max_steps: 1, rewards: "examples/brief-reward.ts" });
    const { result } = await runFake(config);
    expect(result.metrics).toMatchObject({ "rewards/brief/mean": expect.any(Number) as number });
    const records = await rollouts(config.output_dir!);
    expect(records.map(({ reward }) => reward)).toEqual(
      records.map(({ tokens, mos }) => ((tokens as number) < 40 + 8 * (mos as number) ? 1 : 0)),
    );
  });

  it("may lie anywhere, export several rewards, and be chosen from by name with weights", async () => {
    const path = join(set.folder, "rewards.ts");
    writeFileSync(
      path,
      `import { defineReward } from "thurstone/rewards";
       const value: number = 3;
       export const three = defineReward({ name: "three", score: (): number => value });
       export const unused = defineReward({ name: "unused", score: () => 1 });
       export const constant = "no reward";`,
    );
    const config = set.config("elsewhere", {
      max_steps: 1,
      rewards: path,
      reward_funcs: ["three", "format"],
      reward_weights: [2, 1],
    });
    const { result } = await runFake(config);
    expect(result.metrics!.reward).toBe(7);
    expect(Object.keys((await rollouts(config.output_dir!))[0]!["rewards"] as object)).toEqual(["three", "format"]);
  });

  it.each([
    ["exports none", "export const nothing = 1;", "exports no reward"],
    ["does not run", "throw new Error('half-written');", "half-written"],
  ])("that %s is refused by name before anything starts", async (name, text, reason) => {
    const path = join(set.folder, `${name.replace(/ /g, "-")}.ts`);
    writeFileSync(path, text);
    const worker = createFakeWorker();
    const { result } = train(set.config("bad-module", { rewards: path }), { connect: worker.connect });
    const error = await result.catch((failure: unknown) => failure);
    expect(error).toMatchObject({ name: "ConfigError", code: "REWARD_MODULE", fields: { path } });
    expect((error as Error).message).toContain(reason);
    expect(worker.calls).toEqual([]);
  });
});
