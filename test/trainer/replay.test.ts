import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { defineReward, replayRewards } from "../../src/index.js";
import type { ConfigInput, RewardReplay } from "../../src/index.js";
import type { FakePrompt } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, runFake } from "../support/fake-run.js";
import { writePythonRewards } from "../support/python-rewards.js";

let set: DataSet;
let python: string;
let module: string;
beforeAll(async () => {
  set = await createDataSet({
    extra: (row) => ({
      weather: row % 2 === 0 ? "rain" : "sun",
      conversations: [
        { from: "human", value: `quality ${1 + row / 2}` },
        { from: "gpt", value: 1 + row / 2 },
      ],
    }),
  });
  python = writePythonRewards(set.folder);
  module = join(set.folder, "own.ts");
  writeFileSync(
    module,
    `import { defineReward } from "thurstone/rewards";
     export const brief = defineReward({ name: "brief", score: ({ completion }) => -completion.tokenIds.length / 7 });
     export const sunny = defineReward({
       name: "sunny",
       score: ({ row, completion, step }) => (row["weather"] === "sun" ? completion.index / step! : null),
     });`,
  );
});
afterAll(() => set.remove());

/** Scores that follow the labels more and more, at many digits; some cannot be read. */
const complete = ({ draw, version, sample, text }: FakePrompt): string =>
  draw > 0.95
    ? "no idea"
    : `<think>${text.length} ${version}</think><answer>${(1 + ((4 * draw + sample / 3) % 4)).toFixed(3)}</answer>`;

async function record(name: string, more: Partial<ConfigInput> = {}): Promise<string> {
  const config = set.config(name, more);
  await runFake(config, {}, { complete });
  return config.output_dir!;
}

const same = { identical: true, total: { rewardsChanged: 0, advantagesChanged: 0, flipped: 0 } };

/** The lines of a recorded step, to be changed. */
function edit(folder: string, step: number, change: (lines: string[]) => string[]): void {
  const path = join(folder, `rollouts/step_${String(step).padStart(6, "0")}.jsonl`);
  writeFileSync(path, change(readFileSync(path, "utf8").split(/(?<=\n)/)).join(""));
}

describe("a replay with the run's own rewards is the record bit for bit", () => {
  it.each([
    ["fidelity over the whole step", {}],
    ["fidelity in comparison sets", { comparison_set: 2, prompts_per_step: 4, fidelity_opponent: "samples" }],
    ["the reference's quirks", { reference_parity: true }],
    ["advantages over the batch", { scale_rewards: "batch", reward_funcs: ["fidelity", "regression"] }],
    [
      "several updates of a batch",
      { num_iterations: 2, prompts_per_step: 4, per_device_train_batch_size: 8, max_steps: 16 },
    ],
    ["the KL paid for in the reward", { kl_in_reward: true, beta: 0.3 }],
    [
      "leave-one-out, flat prompts left out",
      { advantage_estimator: "rloo", drop_zero_variance_groups: true, reward_funcs: ["format", "fidelity"] },
    ],
    ["every reward normalised apart", { advantage_estimator: "gdpo", reward_weights: [2, 0.5] }],
    ["a warm-up of fidelity", { fidelity_warmup: "win_probability", reward_weights: [2, 0.1] }],
  ] satisfies [string, Partial<ConfigInput>][])("with %s", async (name, more) => {
    const replay = await replayRewards(await record(name, more));
    expect(replay).toMatchObject(same);
    expect(replay.steps).toHaveLength(4);
    expect(replay.total.correlation).toBeCloseTo(1, 12);
  });

  it("with own modules and Python functions, which see fields, ids and the step", async () => {
    const folder = await record("own", {
      rewards: module,
      python_reward: [`${python}:text_length`, `${python}:shy`],
      reward_funcs: ["brief", "sunny", "text_length", "shy", "fidelity"],
      reward_weights: [0.3, 1, 0.01, 0.1, 1],
    });
    expect(await replayRewards(folder)).toMatchObject(same);
  });

  it("on both sides of the end of a warm-up", async () => {
    const config = set.config("ended", { fidelity_warmup: "win_probability", max_steps: 13, prompts_per_step: 4 });
    // Answers that tell the label end it as soon as 10 batches have been seen.
    const knows = ({ text, draw }: FakePrompt): string =>
      `<think>fine</think><answer>${(Number(/quality ([\d.]+)/.exec(text)![1]) + 0.2 * draw).toFixed(2)}</answer>`;
    const { events } = await runFake(config, {}, { complete: knows });
    expect(eventsOf(events, "fidelity-warmup-end").map(({ step }) => step)).toEqual([10]);
    expect(await replayRewards(config.output_dir!)).toMatchObject(same);
  });

  it("with rewards that were given in code, when they are given again", async () => {
    const rewards = {
      late: {
        reward: defineReward({ name: "late", score: ({ completion, step }) => completion.index * step! }),
        weight: 3,
      },
      format: 0.1,
    };
    const config = set.config("code", { max_steps: 2 });
    await runFake(config, { rewards }, { complete });
    expect(await replayRewards(config.output_dir!, { rewards })).toMatchObject(same);
    await expect(replayRewards(config.output_dir!)).rejects.toMatchObject({ code: "CONFIG_UNKNOWN_REWARD" });
  });
});

it("rewards given in code replace those of the run, whose files and keys need not be there any more", async () => {
  const gone = join(set.folder, "gone.ts");
  writeFileSync(gone, readFileSync(module));
  const config = { rewards: gone, reward_funcs: ["brief", "fidelity"], comparison_set: 2, prompts_per_step: 4 };
  const folder = await record("gone", config);
  rmSync(gone);
  await expect(replayRewards(folder)).rejects.toMatchObject({ code: "REWARD_MODULE" });
  const replay = await replayRewards(folder, { rewards: { format: 1 } });
  expect(replay.weights.after).toEqual({ format: 1 });
});

describe("a replay with other rewards", () => {
  let folder: string;
  let replay: RewardReplay;
  beforeAll(async () => {
    folder = await record("others", { reward_funcs: ["fidelity"], fidelity_warmup: "win_probability" });
    const opposite = defineReward({
      name: "opposite",
      row: z.object({ mos: z.number() }),
      score: ({ completion }) => (completion.index === 3 ? null : -completion.index),
    });
    replay = await replayRewards(folder, { rewards: { opposite: { reward: opposite, weight: 2 } } });
  });

  it("tells how rewards changed, by step and in all", () => {
    expect(replay).toMatchObject({
      folder,
      identical: false,
      weights: { before: { fidelity: 1 }, after: { opposite: 2 } },
    });
    expect(replay.steps.map(({ step, rollout, completions }) => [step, rollout, completions])).toEqual(
      [1, 2, 3, 4].map((step) => [step, step, 12]),
    );
    expect(replay.total).toMatchObject({ completions: 48, reward: { after: -2 } });
    expect(replay.total.rewardsChanged).toBeGreaterThan(40);
    expect(replay.steps.map(({ reward }) => reward.after)).toEqual([-2, -2, -2, -2]);
    expect(replay.total.silenced + replay.total.flipped).toBeGreaterThan(0);
  });

  it("names the advantages that change their sign", () => {
    expect(replay.total.flipped).toBe(replay.steps.reduce((sum, { flips }) => sum + flips.length, 0));
    const lines = readFileSync(join(folder, "rollouts/step_000001.jsonl"), "utf8").trim().split("\n");
    const expected = lines
      .map((line) => JSON.parse(line) as { row: string; sample: number; advantage: number; reward: number })
      .map((one) => ({ ...one, after: [2, 0, -2, 0][one.sample]! / 2.0001 }))
      .filter(({ advantage, after }) => advantage * after < 0);
    expect(
      replay.steps[0]!.flips.map(({ row, sample, advantage, reward }) => [row, sample, advantage, reward]),
    ).toEqual(
      expected.map(({ row, sample, advantage, reward, after }) => [
        row,
        sample,
        { before: advantage, after: expect.closeTo(after, 12) as number },
        { before: reward, after: expect.closeTo(-2 * sample, 12) as number },
      ]),
    );
  });

  it("takes a file of them, all of it or what is named, with built-in ones", async () => {
    const all = await replayRewards(folder, { config: { rewards: module } });
    expect(all.weights.after).toEqual({ brief: 1, sunny: 1 });
    const config = { rewards: module, reward_funcs: ["brief", "fidelity"], reward_weights: [0.5, 1] };
    const some = await replayRewards(folder, { config });
    expect(some.weights.after).toEqual({ brief: 0.5, fidelity: 1 });
    const built = await replayRewards(folder, { config: { reward_funcs: "regression" } });
    expect(built.weights.after).toEqual({ regression: 1 });
    const other = await replayRewards(folder, { config: { fidelity_opponent: "samples" } });
    expect(other).toMatchObject({ identical: false, weights: { after: { fidelity: 1 } } });
  });

  it("takes a Python function", async () => {
    const { total } = await replayRewards(folder, { config: { python_reward: `${python}:counts_calls` } });
    expect(total).toMatchObject({ reward: { after: 2.5 }, awakened: 0 });
  });

  it("fails as a run does where the reward does, by name and step", async () => {
    await expect(replayRewards(folder, { config: { python_reward: `${python}:raises` } })).rejects.toMatchObject({
      code: "REWARD_PYTHON_RAISED",
      fields: { reward: "raises", step: 1 },
    });
  });
});

describe("a replay refuses", () => {
  it("a run without completions, and a folder without a run", async () => {
    await expect(replayRewards(await record("silent", { log_completions: false }))).rejects.toMatchObject({
      code: "REPLAY_NOTHING",
    });
    await expect(replayRewards(join(set.folder, "nowhere"))).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
  });

  it("records of another version, whatever their configuration", async () => {
    const folder = await record("version");
    edit(folder, 1, (lines) => lines.map((line) => line.replace('"version":2,', "")));
    writeFileSync(join(folder, "config.resolved.yaml"), "key_of_long_ago: 1\n");
    await expect(replayRewards(folder)).rejects.toMatchObject({
      code: "REPLAY_VERSION",
      message: expect.stringContaining("step 1 were recorded in format 1 by another version") as string,
    });
  });

  it.each([
    ["lines that are missing at the end", (lines: string[]) => lines.slice(0, -1), "holds 11 of 12 completions"],
    ["a line that was cut off", (lines: string[]) => lines.with(-1, lines.at(-1)!.slice(0, 90)), "holds 11 of 12"],
    ["lines in another order", (lines: string[]) => lines.toReversed(), "has completion 3 of prompt 2 where another"],
    ["an empty file", () => [], "holds none"],
  ])("%s", async (name, change, reason) => {
    const folder = await record(name);
    edit(folder, 2, change);
    await expect(replayRewards(folder)).rejects.toMatchObject({
      code: "REPLAY_INCOMPLETE",
      message: expect.stringContaining(`the record of step 2 ${reason}`) as string,
    });
  });

  it("a line that was changed into something else", async () => {
    const folder = await record("changed");
    edit(folder, 3, (lines) => lines.with(4, lines[4]!.replace('"finish":"stop"', '"finish":"never"')));
    await expect(replayRewards(folder)).rejects.toMatchObject({
      code: "REPLAY_RECORD",
      message: expect.stringContaining("line 5 of the completions of step 3 cannot be used: finish:") as string,
    });
  });

  it("rows that are not there any more, or are others", async () => {
    const folder = await record("rows");
    const lines = readFileSync(set.data, "utf8").trim().split("\n");
    const data = join(set.folder, "other.jsonl");
    const replay = (content: string[]): Promise<RewardReplay> => {
      writeFileSync(data, `${content.join("\n")}\n`);
      return replayRewards(folder, { config: { data_file_paths: [data] } });
    };
    expect(await replay(lines.map((line) => line.replace("{", '{"added":1,')))).toMatchObject(same);
    await expect(replay(lines.slice(0, 1))).rejects.toMatchObject({
      code: "REPLAY_ROW_MISSING",
      message: expect.stringMatching(/sampled from row \d, line \d of data file 1, and there is none/) as string,
    });
    await expect(replay(lines.map((line) => line.replace('"tiny"', '"large"')))).rejects.toMatchObject({
      code: "REPLAY_ROW_CHANGED",
      message: expect.stringMatching(/holds row \d of "large" .* when it held row \d of "tiny"/) as string,
    });
  });
});
