import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { DataError } from "../../src/errors.js";
import { defineReward, scoreRewards } from "../../src/rewards/index.js";
import { prepareRun } from "../../src/trainer/prepare.js";

const folder = mkdtempSync(join(tmpdir(), "thurstone-prepare-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A data file of text-only rows; null leaves the score out. */
function dataFile(name: string, scores: readonly (number | null)[]): string {
  const path = join(folder, name);
  const lines = scores.map((score, id) => {
    const answer = score === null ? [] : [{ from: "gpt", value: score }];
    return JSON.stringify({
      id,
      dataset_name: "d",
      image: [],
      conversations: [{ from: "human", value: "?" }, ...answer],
    });
  });
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

const config = (...files: string[]) => ({ model_name_or_path: "m", data_file_paths: files, prompts_per_step: 2 });

describe("prepareRun", () => {
  it("names every row that a reward cannot use by file and line, before anything starts", async () => {
    const first = dataFile("first.jsonl", [1, null, 3]);
    const second = dataFile("second.jsonl", [null, 2]);
    const error: unknown = await prepareRun(config(first, second)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataError);
    const { code, fields } = error as DataError;
    expect(code).toBe("DATA_REWARD_ROW");
    expect(fields["problems"]).toMatchObject([
      { file: first, line: 2, code: "DATA_REWARD_ROW" },
      { file: second, line: 1, code: "DATA_REWARD_ROW" },
    ]);
    expect((error as DataError).message).toContain(`${first}:2`);
  });

  it("asks own rewards too, and lets rows be that no reward misses anything in", async () => {
    const file = dataFile("unscored.jsonl", [null, null]);
    const short = defineReward({ name: "short", score: ({ completion }) => -completion.tokenIds.length });
    const picky = defineReward({ name: "picky", row: z.object({ hint: z.string() }), score: () => 1 });
    await expect(prepareRun(config(file), { short })).resolves.toMatchObject({ plan: { steps: 1 } });
    await expect(prepareRun(config(file), { picky })).rejects.toThrow(/unscored\.jsonl:1.*"picky".*hint/);
  });

  it("takes rows without opinion scores where the model's own answers decide which picture is better", async () => {
    const file = dataFile("unlabelled.jsonl", [null, null]);
    await expect(prepareRun(config(file))).rejects.toMatchObject({ code: "DATA_REWARD_ROW" });
    const votes = { ...config(file), preference: "majority_vote" } as const;
    await expect(prepareRun(votes)).resolves.toMatchObject({ plan: { steps: 1 } });
  });

  it("refuses files of rewards beside rewards given in code: they would run and not count", async () => {
    const input = config(dataFile("two-places.jsonl", [1, 2]));
    for (const key of ["rewards", "python_reward"] as const) {
      const both = { ...input, [key]: key === "rewards" ? "./none.ts" : "./none.py:near" };
      await expect(prepareRun(both, { fidelity: 1 })).rejects.toThrow(
        `rewards are given in code, and ${key} of the configuration brings others`,
      );
    }
  });

  it("refuses the distortion reward where no row has a type", async () => {
    const input = { ...config(dataFile("untyped.jsonl", [1, 2])), reward_funcs: "distortion" };
    await expect(prepareRun(input)).rejects.toMatchObject({ code: "CONFIG_NO_TYPES" });
  });

  it("hands soft preferences to the rewards, and refuses them where no row has a deviation", async () => {
    const file = dataFile("soft.jsonl", [2, 4]);
    await expect(prepareRun({ ...config(file), preference: "soft" })).rejects.toMatchObject({
      name: "ConfigError",
      code: "CONFIG_NO_DEVIATIONS",
    });
    const rated = join(folder, "rated.jsonl");
    writeFileSync(rated, readFileSync(file, "utf8").replaceAll('"image"', '"mos_std":1,"image"'));
    const { rewards } = await prepareRun({ ...config(rated), preference: "soft", fidelity_variance: "fixed" });
    const answer = (score: number) => `<think>x</think><answer>${score}</answer>`;
    const groups = [2, 4].map((mos) => ({
      prompt: { row: { id: String(mos), dataset: "d", mos, mosStd: 1 } },
      completions: [{ text: answer(mos), tokenIds: [1], finishReason: "stop" as const }],
    }));
    // Rated 2 apart with the same deviations as the labels are: the predicted preference is the labelled one.
    const { breakdown } = await scoreRewards(groups, rewards);
    for (const value of breakdown["fidelity"]!.flat()) expect(value).toBeCloseTo(1, 12);
  });
});
