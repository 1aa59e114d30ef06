import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runEvalCommand } from "../../src/cli/eval.js";
import { runCommandLine } from "../../src/cli/program.js";
import type { EvaluationReport, Ledger } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorkerOptions } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { commandIo } from "./outputs.js";

const ROWS = 12;
let set: DataSet;
beforeAll(async () => {
  set = await createDataSet({ rows: ROWS, extra: (row) => ({ group: `photo ${row % 4}` }) });
});
afterAll(() => set.remove());

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(fake: FakeWorkerOptions, ...args: readonly string[]): Promise<Ran> {
  const io = commandIo(set.folder);
  const { connect } = createFakeWorker(fake);
  const data = ["--model", set.folder, "--data", set.data, "--image_folders", set.images, "--bootstrap", "50"];
  const code = await runEvalCommand([...data, ...args], io, { connect });
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}

/** Answers by row, in the order in which rows are asked about, `samples` for each. */
function answers(score: (row: number, round: number, temperature: number) => number | null, samples = 1) {
  let asked = 0;
  return {
    complete: ({ temperature }: { readonly temperature: number }) => {
      const [row, round] = [Math.floor(asked / samples) % ROWS, Math.floor(asked / samples / ROWS)];
      asked += 1;
      const value = score(row, round, temperature);
      return value === null ? "no idea" : `<think>a</think><answer>${value.toFixed(2)}</answer>`;
    },
  };
}
const rising = (row: number): number => 1 + row / 3;

describe("thurstone eval", () => {
  it("prints a table that says what is fitted on the test labels, and what was asked", async () => {
    const { code, out, err } = await run(answers(rising), "--estimators", "greedy", "--seed", "7");
    expect(code).toBe(0);
    const [header, row] = out.split("\n");
    expect(header).toMatch(/^data set +estimator +n +scored +unparsable .*PLCC\* +RMSE\*$/);
    expect(row).toMatch(/^tiny +greedy +12 +12 +0 +0\/12 +1\.000 +1\.000 to 1\.000 +1\.000 /);
    expect(out).toContain("* fitted on test:");
    expect(out).toContain("bootstrap over tiny 4 groups; 50 resamples");
    expect(out).toContain("note: tiny has only 4 groups to draw from, so its intervals are rough");
    expect(out).toContain("question scoring, 256 tokens at most, seed 7");
    expect(err).toContain("12 of 12 pictures");
  });

  it("prints the report as one line of JSON, and writes it with predictions and plot", async () => {
    const { code, out } = await run(answers(rising), "--estimators", "greedy", "--json", "--out", "report");
    expect(code).toBe(0);
    const report = JSON.parse(out) as EvaluationReport;
    expect(out.trimEnd().split("\n")).toHaveLength(1);
    expect(report).toMatchObject({
      schema: 1,
      data: [{ name: "train.jsonl" }],
      settings: { estimators: ["greedy"], seed: 42, onMissing: "fail", blank: false },
      results: [{ dataset: "tiny", estimators: { greedy: { srcc: 1 } } }],
      failures: [],
    });
    expect(JSON.parse(readFileSync(join(set.folder, "report/report.json"), "utf8"))).toEqual(report);
    expect(readFileSync(join(set.folder, "report/predictions.jsonl"), "utf8").trimEnd().split("\n")).toHaveLength(12);
    expect(readFileSync(join(set.folder, "report/plots/tiny.svg"), "utf8")).toMatch(/^<svg [^]*<\/svg>\n$/);
  });

  it("fails, after everything is written, when more than one picture in a hundred has no score", async () => {
    const silent = () => answers((row) => (row === 0 ? null : rising(row)));
    const failed = await run(silent(), "--estimators", "greedy", "--out", "failed");
    expect(failed.code).toBe(1);
    expect(failed.out).toContain(
      "FAILED EVAL_UNPARSABLE  tiny, greedy: 1 of 12 pictures have no score (8.33 %; the limit is 1 %).",
    );
    expect(existsSync(join(set.folder, "failed/plots/tiny.svg"))).toBe(true);
    const excluded = await run(silent(), "--estimators", "greedy", "--on-missing", "exclude");
    expect(excluded).toMatchObject({ code: 0, out: expect.stringMatching(/greedy +12 +11 +1 /) as string });
    const worst = await run(silent(), "--estimators", "greedy", "--on-missing", "worst");
    expect(worst).toMatchObject({ code: 0, out: expect.stringContaining("1 (1 worst)") as string });
    expect(worst.out).not.toMatch(/1\.000 to 1\.000/);
  });

  it("says why a number is missing", async () => {
    const { out } = await run(
      answers(() => 3),
      "--estimators",
      "greedy",
    );
    expect(out).toContain(
      "tiny, greedy: no SRCC, interval of SRCC, KRCC, PLCC, interval of PLCC, PLCC* and RMSE*, because all predictions are 3",
    );
    expect(out).toContain("tiny, greedy: no SRCC by type, because no picture with a score and a label has a type");
  });

  it("splits a gain into what the start reaches at its best temperature and the rest", async () => {
    // The start errs less when it is colder; rounds: validation at .5 and 1, test at 1 and .5, then the trained model.
    const noise = [2.4, -1.1, 0.7, -2, 1.6, -0.4, 1.2, -1.8, 2.1, -0.9, 0.3, -1.4];
    const score = (row: number, round: number, temperature: number): number => {
      const middle = 2 + row / 6;
      return round === 4 ? middle : Math.min(5, Math.max(1, middle + noise[row]! * temperature * 0.8));
    };
    const asked = [
      "--ledger",
      "--start",
      set.folder,
      "--validation",
      set.data,
      "--temperatures",
      "0.5",
      "--samples",
      "2",
    ];
    const { code, out } = await run(answers(score, 2), ...asked, "--json", "--out", "ledger");
    expect(code).toBe(0);
    const ledger = JSON.parse(out) as Ledger;
    expect(ledger.temperatures.map(({ temperature }) => temperature)).toEqual([0.5, 1]);
    expect(ledger.chosen).toBe(0.5);
    const [result] = ledger.results;
    expect(result).toMatchObject({ dataset: "tiny", n: 12, scored: 12, trained: 1 });
    expect(result!.start!).toBeLessThan(result!.sharpened!);
    expect(result!.sharpened!).toBeLessThan(1);
    expect(result!.gain.difference).toBeCloseTo(result!.sharpening.difference! + result!.reordering.difference!, 12);
    expect(JSON.parse(readFileSync(join(set.folder, "ledger/ledger.json"), "utf8"))).toEqual(ledger);

    const table = await run(answers(score, 2), ...asked);
    expect(table.out).toMatch(/^data set +n +start +start at 0\.5 +trained +gain +/);
    expect(table.out).toContain("start's mean SRCC on the validation data, by temperature: 0.5: ");
  });

  it("says when there is nothing to split", async () => {
    const asked = ["--ledger", "--start", set.folder, "--validation", set.data];
    await expect(
      run(
        answers(() => 3, 6),
        ...asked,
      ),
    ).rejects.toMatchObject({ code: "EVAL_NO_TEMPERATURE" });
  });

  it.each([
    [["--estimators", "greedy", "--samples", "3"], 'samples is set, and it belongs to the estimator "sampled"'],
    [["--estimators", "greedy", "--expected-after", "prefix"], 'belongs to the estimator "expected"'],
    [["--estimators", "greedy", "greedy"], "must name sampled, greedy, expected"],
    [["--start", "x"], "--start belongs to --ledger"],
    [["--ledger", "--start", "x"], "--ledger needs --start"],
    [["--ledger", "--estimators", "greedy"], "--ledger is about the estimator sampled alone"],
  ])("refuses %j", async (args, message) => {
    await expect(run({}, ...args)).rejects.toMatchObject({
      code: "EVAL_OPTION",
      message: expect.stringContaining(message) as string,
    });
  });

  it.each([
    [["--model", "m"], "required option '--data <files...>' not specified"],
    [["--model", "m", "--data", "d", "--samples", "0"], "a whole number of at least 1 is expected"],
    [["--model", "m", "--data", "d", "--temperature", "0"], "a number above 0 is expected"],
    [["--model", "m", "--data", "d", "--estimators", "best"], "Allowed choices are sampled, greedy, expected"],
    [["--model", "m", "--data", "d", "--on-missing", "guess"], "Allowed choices are fail, exclude, worst"],
    [["--model", "m", "--data", "d", "--bach", "3"], "unknown option '--bach'"],
  ])("calls %j wrong usage", async (args, message) => {
    const io = commandIo(set.folder);
    expect(await runCommandLine(["eval", ...args], io)).toBe(2);
    expect(io.stderr.text()).toContain(message);
  });
});
