/**
 * What the ranking benchmark keeps and reports.
 *
 * @module
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cpuSeconds, cpuSecondsOf } from "../../bench/support/cpu-time.js";
import { conditionOf, conditions, rewardsOf } from "../../bench/support/ranking-conditions.js";
import type { AnswerCondition } from "../../bench/support/ranking-conditions.js";
import { parseNames, parseNumber, parseSettings } from "../../bench/support/ranking-options.js";
import { familyOf, reportMarkdown } from "../../bench/support/ranking-report.js";
import { appendResult, nameOf, openJobs, readResults } from "../../bench/support/ranking-results.js";
import type { RankingResult } from "../../bench/support/ranking-results.js";
import { digestOf } from "../../bench/support/ranking-run.js";
import { answerSettings } from "../../bench/support/ranking-training.js";
import type { RankingSources } from "../../bench/support/ranking-training.js";
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
  const common = {
    steps: 100,
    seconds: 61.4,
    cpuSeconds: 55.5,
    blank: null,
    warmupEnd: null,
    collapses: [],
    curve: [0.1, null],
  };
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

  it("reads lines from before processor time and grey pictures were kept", async () => {
    const file = join(folder, "old.jsonl");
    const { cpuSeconds: _, blank: __, ...old } = result("fidelity", "zero-0", 0.25);
    writeFileSync(file, `${JSON.stringify(old)}\n`);
    expect(await readResults(file)).toEqual([result("fidelity", "zero-0", 0.25, { cpuSeconds: null })]);
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
      result("start", "zero-0", -1, { evaluation: reversed, steps: null, seconds: null, cpuSeconds: null }),
      result("fidelity_warmup", "zero-0", 0.6, { warmupEnd: 80 }),
      result("fidelity_warmup", "zero-1", 0.8),
      result("fidelity", "zero-0", 0.7, { collapses: [31], seconds: 70 }),
      result("binary", "part-0", 0.5),
    ]);
    const lines = text.split("\n");
    expect(lines.filter((line) => line.startsWith("###"))).toEqual(["### Starts zero", "### Starts part"]);
    expect(lines).toContain(
      "| fidelity_warmup | 2 | .700 +- .141 | .600 / .800 | .700 +- .141 | .600 / .800 | - (2 undefined) | - / - | .950 +- .000 | 61 | 56 |",
    );
    expect(lines).toContain(
      "| fidelity_warmup | zero-0 | 0 | .600 (.500 to .700) | .600 (.500 to .700) | - | 2.000 (2.000 to 2.000) | .000 (.000 to .000) | .000 (.000 to .000) | .500 | 1 | fidelity after 80 | 100 | 61 | 56 |",
    );
    // The start of this one was not evaluated.
    expect(lines).toContain(
      "| fidelity_warmup | zero-1 | 0 | .800 (.700 to .900) | .800 (.700 to .900) | - | - | - | - | .500 | 1 | never fidelity | 100 | 61 | 56 |",
    );
    expect(lines.find((line) => line.startsWith("| fidelity | zero-0"))).toMatch(
      /\| collapse told at 31 \| 100 \| 70 \| 56 \|$/,
    );
    expect(lines.find((line) => line.startsWith("| start | zero-0"))).toMatch(/^\| start \| zero-0 \| - \| -1\.000/);
  });

  it("tells what is left with grey pictures of the runs that were asked for it", () => {
    const blank = { sampled: figures(0), greedy: figures(null), expected: figures(0.1) };
    const one = result("sft_true", "zero-0", 0.7, { blank });
    const lines = reportMarkdown([result("fidelity", "zero-0", 0.6), one])
      .trimEnd()
      .split("\n");
    expect(lines.slice(lines.indexOf("With a grey picture in the place of every picture:"))).toEqual([
      "With a grey picture in the place of every picture:",
      "",
      "| rewards | start | seed | sampled | greedy | expected |",
      "| --- | --- | --- | --- | --- | --- |",
      "| sft_true | zero-0 | 0 | .000 (-.100 to .100) | - | .100 (.000 to .200) |",
    ]);
    expect(reportMarkdown([result("fidelity", "zero-0", 0.6)])).not.toContain("grey");
  });

  it("takes starts that differ in their number for one family", () => {
    expect(["zero-0", "zero-12", "sft-true-1", "odd"].map(familyOf)).toEqual(["zero", "zero", "sft-true", "odd"]);
  });
});

it("every condition with rewards names such as exist, and pays the layout", () => {
  const rows = [{ dataset: "tiny", mos: 1, source: { file: 0, line: 1 } }];
  const paid = conditions.filter((condition) => condition.kind === "rewards");
  for (const condition of paid) {
    const names = combineRewards(rewardsOf(condition, { seed: 0, rows })).map(({ name, weight }) => [name, weight]);
    const [score] = names[0]!;
    expect(names).toEqual([
      [score, 1],
      ["format", 0.5],
    ]);
  }
  expect(new Set(conditions.map(({ name }) => name)).size).toBe(conditions.length);
  expect(conditions.filter(({ control }) => control)).toHaveLength(4);
  expect(conditions.filter(({ kind }) => kind === "answers").map(({ name }) => name)).toEqual(["sft_true"]);
});

describe("the options", () => {
  it("are numbers, or an error that says so", () => {
    expect([parseNumber("jobs", "2", 1), parseNumber("seeds", "0", 0)]).toEqual([2, 0]);
    for (const text of ["x", "", "0", "-1", "1.5", "1e99"]) {
      expect(() => parseNumber("jobs", text, 1)).toThrow(
        `ranking: --jobs is "${text}"; it must be a whole number from 1.`,
      );
    }
  });

  it("are a JSON object, or an error that says so", () => {
    expect(parseSettings("set", '{"max_steps": 3}')).toEqual({ max_steps: 3 });
    expect(() => parseSettings("set", "{max_steps}")).toThrow(/--set is \{max_steps\}, which is no JSON/);
    expect(() => parseSettings("set", "[1]")).toThrow(/must be a JSON object/);
    expect(parseNames(" a, ,b")).toEqual(["a", "b"]);
  });
});

describe("the digest of a run", () => {
  const sources = { settings: {}, sftSteps: null };
  const of = (condition: string, more: Partial<RankingSources> = {}, { seed = 0, blank = false } = {}) => {
    const files = { train: join(folder, "train.jsonl"), test: join(folder, "test.jsonl") };
    return digestOf({ condition, seed, blank }, folder, { ...files, ...sources, ...more });
  };
  beforeAll(() => {
    for (const name of ["train", "test"]) writeFileSync(join(folder, `${name}.jsonl`), `${name}\n`);
  });

  it("tells what changes a result from what does not", async () => {
    const plain = await of("fidelity");
    expect(await of("fidelity", { sftSteps: 7 })).toBe(plain);
    expect(await of("fidelity", { settings: { max_steps: 3 } })).not.toBe(plain);
    expect(await of("fidelity", {}, { seed: 1 })).not.toBe(plain);
    expect(await of("fidelity", {}, { blank: true })).not.toBe(plain);

    const supervised = await of("sft_true");
    expect(await of("sft_true", { settings: { learning_rate: 1 } })).toBe(supervised);
    expect(await of("sft_true", { sftSteps: 7 })).not.toBe(supervised);

    const start = await of("start");
    expect(await of("start", { settings: { max_steps: 3 } })).toBe(start);
  });

  it("knows what a condition pays and sets", async () => {
    const plain = await of("fidelity_warmup");
    const condition = conditionOf("fidelity_warmup") as { pays: object; overrides: object };
    const { pays, overrides } = condition;
    condition.pays = { fidelity: 2 };
    const heavier = await of("fidelity_warmup");
    Object.assign(condition, { pays, overrides: { fidelity_warmup: "win_probability", fidelity_warmup_srcc: 0.3 } });
    const sooner = await of("fidelity_warmup");
    condition.overrides = overrides;
    expect(await of("fidelity_warmup")).toBe(plain);
    expect(new Set([plain, heavier, sooner]).size).toBe(3);
  });
});

it("supervised training has the settings of the checkpoints' own, and takes model and question from the others", async () => {
  const condition = conditionOf("sft_true") as AnswerCondition;
  const settings = { question_template: "scoring", learning_rate: 1, max_steps: 2 };
  expect(await answerSettings(condition, { settings, sftSteps: 7 })).toEqual({
    torch_dtype: "float32",
    device: "cpu",
    worker_threads: 1,
    freeze_vision_modules: true,
    question_template: "scoring",
    per_device_train_batch_size: 64,
    learning_rate: 2e-3,
    lr_scheduler_type: "cosine",
    warmup_ratio: 0.1,
    save_only_model: true,
    overwrite_output_dir: true,
    max_steps: 7,
  });
  expect(await answerSettings(condition, { settings, sftSteps: null })).toMatchObject(condition.overrides);
});

describe("processor time", () => {
  it("is that of the process and of its ended children, whatever the program is called", () => {
    const stat = `12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 1000 ${"7 ".repeat(30)}`;
    expect(cpuSecondsOf(stat)).toBeCloseTo((150 + 50 + 1000 + 7) / 100);
  });

  it("does not go back", async () => {
    const before = await cpuSeconds();
    if (before === null) return expect(existsSync("/proc/self/stat")).toBe(false);
    expect((await cpuSeconds())!).toBeGreaterThanOrEqual(before);
  });
});
