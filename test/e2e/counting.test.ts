/**
 * The example of counting: its pictures hold what the rows say, its reward is exact, and all its stages run.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { drawShapes, lesson, TAUGHT, WORDS, writePictures } from "../../examples/counting/pictures.js";
import { countingRecipe } from "../../examples/counting/recipe.js";
import { exactMatch } from "../../examples/counting/reward.js";
import { loadRows } from "../../src/index.js";
import { scoreRewards } from "../../src/rewards/index.js";
import { foldKey, uniform } from "../../src/stats/index.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace();
});
afterAll(() => workspace.remove());

/** Connected regions of a picture that differ from its ground, by flood fill. */
async function regions(svg: string): Promise<number> {
  const { data, info } = await sharp(Buffer.from(svg)).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const inside = Array.from({ length: width * height }, (_, pixel) =>
    [0, 1, 2].some((channel) => Math.abs(data[3 * pixel + channel]! - data[channel]!) > 40),
  );
  let found = 0;
  for (const [first, marked] of inside.entries()) {
    if (!marked) continue;
    found += 1;
    const open = [first];
    while (open.length > 0) {
      const pixel = open.pop()!;
      if (inside[pixel] !== true) continue;
      inside[pixel] = false;
      const column = pixel % width;
      open.push(pixel - width, pixel + width);
      if (column > 0) open.push(pixel - 1);
      if (column < width - 1) open.push(pixel + 1);
    }
  }
  return found;
}

it("draws as many separate shapes as it says", async () => {
  for (let picture = 0; picture < 60; picture += 1) {
    const count = 1 + (picture % WORDS.length);
    const svg = drawShapes(count, (...purpose) => uniform(foldKey(5, picture, ...purpose)));
    expect(await regions(svg), `picture ${picture}`).toBe(count);
  }
});

it("teaches the right word up to three, and beyond one of the others at random", () => {
  const draws = Array.from({ length: 30 }, (_, index) => index / 30);
  for (let count = 1; count <= WORDS.length; count += 1) {
    const words = new Set(draws.map((draw) => lesson(count, draw)));
    expect([...words]).toEqual(count <= TAUGHT ? [WORDS[count - 1]] : ["four", "five", "six"]);
  }
});

it("pays for the right answer to the letter", async () => {
  const file = await writePictures({
    folder: join(workspace.folder, "set"),
    name: "few",
    pictures: 2,
    seed: 1,
    answered: false,
  });
  const [row] = await loadRows({ data_file_paths: file });
  const answer = String(row!.extra["answer"]);
  const texts = [
    `<answer>${answer}</answer>`,
    `<answer> ${answer}</answer>`,
    `<answer>${answer}</answer>.`,
    answer,
    "",
  ];
  const completions = texts.map((text) => ({ text, tokenIds: [1], finishReason: "stop" as const }));
  expect((await scoreRewards([{ prompt: { row }, completions }], { exactMatch })).totals).toEqual([[1, 0, 0, 0, 0]]);
});

it("runs all stages, with two rewarded steps", async () => {
  const lines: string[] = [];
  const out = join(workspace.folder, "counting");
  const { before, after, rewards } = await countingRecipe({
    start: workspace.model,
    out,
    seed: 0,
    pictures: { taught: 64, rewarded: 64, test: 12 },
    steps: { taught: 1, rewarded: 2 },
    log: (line) => lines.push(line),
  });
  expect(rewards).toHaveLength(2);
  for (const share of [...Object.values(before), ...Object.values(after), ...rewards]) {
    expect(share >= 0 && share <= 1).toBe(true);
  }
  expect(lines.map((line) => line.split(":")[0])).toEqual(["taught", "rewarded"]);
  const metrics = readFileSync(join(out, "rewarded/metrics.jsonl"), "utf8");
  expect(metrics).toContain("rewards/exact_match/mean");
});
