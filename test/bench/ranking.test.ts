/**
 * What the ranking benchmark keeps and reports.
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { conditions } from "../../bench/support/ranking-conditions.js";
import { familyOf, reportMarkdown } from "../../bench/support/ranking-report.js";
import { appendResult, nameOf, openJobs, readResults } from "../../bench/support/ranking-results.js";
import type { RankingResult } from "../../bench/support/ranking-results.js";
import { combineRewards } from "../../src/rewards/index.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thurstone-ranking-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const LABELS = [1, 2, 3, 4, 5, 6];
const figures = (srcc: number | null, scores: (number | null)[] = LABELS) => ({
  srcc,
  low: srcc === null ? null : srcc - 0.1,
  high: srcc === null ? null : srcc + 0.1,
  spread: 0.5,
  formatRate: 0.95,
  unscored: 1,
  scores,
});
function result(
  condition: string,
  start: string,
  srcc: number | null,
  more: Partial<RankingResult> = {},
): RankingResult {
  const evaluation = { sampled: figures(srcc), greedy: figures(srcc), expected: figures(null) };
  const common = { steps: 100, seconds: 61.4, warmupEnd: null, collapses: [], curve: [0.1, null] };
  return {
    condition,
    start,
    seed: 0,
    digest: "d",
    ...common,
    evaluation,
    labels: LABELS,
    groups: ["a", "a", "b", "b", "c", "c"],
    ...more,
  };
}

describe("the results file", () => {
  it("is added to line by line, and read back", async () => {
    const file = join(folder, "some.jsonl");
    expect(await readResults(file)).toEqual([]);
    const results = [result("start", "zero-0", null), result("fidelity", "zero-0", 0.25)];
    for (const one of results) expect(await appendResult(file, JSON.stringify(one))).toEqual(one);
    expect(await readResults(file)).toEqual(results);
    expect(readFileSync(file, "utf8").split("\n")).toHaveLength(3);
  });

  it("refuses by line what is no result", async () => {
    const file = join(folder, "broken.jsonl");
    writeFileSync(file, `${JSON.stringify(result("fidelity", "zero-0", 0.1))}\n{"condition":"fid`);
    await expect(readResults(file)).rejects.toThrow(/broken\.jsonl:2 is no result/);
    await expect(appendResult(file, "{}")).rejects.toThrow();
  });

  it("tells which runs are not done, and refuses those made with something else", () => {
    const jobs = ["fidelity", "binary"].flatMap((condition) =>
      [0, 1].map((seed) => ({ condition, start: "zero-0", seed, digest: "d" })),
    );
    const results = [result("fidelity", "zero-0", 0.1), result("binary", "zero-1", 0.1)];
    expect(openJobs(jobs, results).map(nameOf)).toEqual([
      "fidelity from zero-0, seed 1",
      "binary from zero-0, seed 0",
      "binary from zero-0, seed 1",
    ]);
    const other = result("binary", "zero-0", 0.1, { digest: "e" });
    expect(() => openJobs(jobs, [other])).toThrow(/"binary from zero-0, seed 0" made with other settings/);
  });
});

describe("the report", () => {
  it("has means, deviations and all single values by family, and every run with its interval", () => {
    const reversed = { sampled: figures(-1, LABELS.toReversed()), greedy: figures(null), expected: figures(null) };
    const text = reportMarkdown([
      result("start", "zero-0", -1, { evaluation: reversed, steps: null, seconds: null }),
      result("fidelity_warmup", "zero-0", 0.6, { warmupEnd: 80 }),
      result("fidelity_warmup", "zero-1", 0.8),
      result("fidelity", "zero-0", 0.7, { collapses: [31], seconds: 70 }),
      result("binary", "part-0", 0.5),
    ]);
    const lines = text.split("\n");
    expect(lines.filter((line) => line.startsWith("###"))).toEqual(["### Starts zero", "### Starts part"]);
    expect(lines).toContain(
      "| fidelity_warmup | 2 | .700 +- .141 | .600 / .800 | .700 +- .141 | .600 / .800 | - (2 undefined) | - / - | .950 +- .000 | 61 |",
    );
    expect(lines).toContain(
      "| fidelity_warmup | zero-0 | 0 | .600 (.500 to .700) | .600 (.500 to .700) | - | 2.000 (2.000 to 2.000) | .000 (.000 to .000) | .000 (.000 to .000) | .500 | 1 | fidelity after 80 | 61 |",
    );
    // The start of this one was not evaluated.
    expect(lines).toContain(
      "| fidelity_warmup | zero-1 | 0 | .800 (.700 to .900) | .800 (.700 to .900) | - | - | - | - | .500 | 1 | never fidelity | 61 |",
    );
    expect(lines.find((line) => line.startsWith("| fidelity | zero-0"))).toMatch(/\| collapse told at 31 \| 70 \|$/);
    expect(lines.find((line) => line.startsWith("| start | zero-0"))).toMatch(/^\| start \| zero-0 \| - \| -1\.000/);
  });

  it("takes starts that differ in their number for one family", () => {
    expect(["zero-0", "zero-12", "sft-true-1", "odd"].map(familyOf)).toEqual(["zero", "zero", "sft-true", "odd"]);
  });
});

it("every condition names rewards that exist, and pays the layout", () => {
  const rows = [{ dataset: "tiny", mos: 1, source: { file: 0, line: 1 } }];
  for (const condition of conditions) {
    const names = combineRewards(condition.rewards({ seed: 0, rows })).map(({ name, weight }) => [name, weight]);
    const [score] = names[0]!;
    expect(names).toEqual([
      [score, 1],
      ["format", 0.5],
    ]);
  }
  expect(new Set(conditions.map(({ name }) => name)).size).toBe(conditions.length);
  expect(conditions.filter(({ control }) => control)).toHaveLength(4);
});
