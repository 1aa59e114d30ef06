/**
 * What the benchmark of loss types runs and reports.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { lossesPlot, lossesTable } from "../../bench/support/losses-report.js";
import { appendLoss, LOSSES, lossesRun, readLosses } from "../../bench/support/losses-runs.js";
import type { LossesResult } from "../../bench/support/losses-runs.js";
import { objectiveKeys } from "../../src/config/keys/objective.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thurstone-losses-"));
  mkdirSync(join(folder, "data"));
  for (const name of ["train", "test"]) writeFileSync(join(folder, "data", `${name}.jsonl`), `{"file": "${name}"}\n`);
  mkdirSync(join(folder, "start"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const result = (loss: string, seed: number, more: Partial<LossesResult> = {}): LossesResult => ({
  loss,
  seed,
  digest: "d",
  reward: [0.25, 0.5, 0.75],
  srcc: [0, null, 0.5],
  before: 0.25,
  after: 0.5,
  seconds: 12.4,
  ...more,
});

it("runs every loss type that differs from the others, two updates per rollout batch", async () => {
  const { innerType } = objectiveKeys.loss_type.def;
  expect(new Set(Object.keys(LOSSES))).toEqual(new Set(innerType.options.filter((name) => name !== "bnpo")));
  const settings = { folder, start: join(folder, "start"), steps: 50 };
  const runs = await Promise.all(Object.keys(LOSSES).map((loss) => lossesRun(loss, 1, settings)));
  expect(new Set(runs.map(({ digest }) => digest)).size).toBe(runs.length);
  for (const { loss, config } of runs)
    expect(config).toMatchObject({ loss_type: loss, seed: 1, data_seed: 1, max_steps: 50, num_iterations: 2 });
  await expect(lossesRun("ppo", 0, settings)).rejects.toThrow('"ppo" is none of grpo, dapo');
  expect((await lossesRun("grpo", 1, settings)).digest).toBe(runs[0]!.digest);
  expect((await lossesRun("grpo", 1, { ...settings, steps: 20 })).digest).not.toBe(runs[0]!.digest);
});

it("adds results line by line, and reads them back", async () => {
  const file = join(folder, "results.jsonl");
  expect(await readLosses(file)).toEqual([]);
  await appendLoss(file, result("grpo", 0));
  await appendLoss(file, result("sapo", 1, { after: null }));
  expect(await readLosses(file)).toEqual([result("grpo", 0), result("sapo", 1, { after: null })]);
});

it("prints one line per loss type", () => {
  const results = [result("grpo", 0), result("grpo", 1, { after: 0.6 }), result("sapo", 0, { after: null })];
  expect(lossesTable(results).split("\n").slice(2, 4)).toEqual([
    "| grpo | 0, 1 | 0.500 +- 0.000 | 0.250 +- 0.000 | 0.250 +- 0.000 | 0.550 +- 0.071 | 0.500 / 0.600 | 12 |",
    "| sapo | 0 | 0.500 | 0.250 | 0.250 | - | - | 12 |",
  ]);
});

it("draws each run and each mean, in both panels", () => {
  const plot = lossesPlot([result("grpo", 0), result("grpo", 1), result("sapo", 0)]);
  expect(plot.match(/<polyline/g)).toHaveLength(2 * (3 + 2));
  // Means of the steps so far: 0.25, 0.375 and 0.5 fill the panel's height.
  expect(plot).toContain('points="60,310 235,185 410,60"');
  expect(plot).toContain(">sapo</text>");
  expect(lossesPlot([])).not.toContain("<polyline");
});
