import { mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { evaluate, loadRows, openPolicy, writeEvaluation } from "../../src/index.js";
import type { Evaluation, Row } from "../../src/index.js";
import { expectedEstimator } from "../../src/trainer/expected-estimator.js";
import { expectedScore, scoreAnswers } from "../../src/trainer/expected-score.js";
import { reportOf } from "../../src/trainer/index.js";
import { makeAnsweringCheckpoint, TENTHS } from "./answering-checkpoint.js";
import { startSharedWorker } from "./shared-worker.js";
import type { SharedWorker } from "./shared-worker.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

let workspace: Workspace;
let worker: SharedWorker;
let model: string;
beforeAll(async () => {
  workspace = await createWorkspace(12, (row) => ({
    group: `photo ${row % 4}`,
    type: row % 2 === 0 ? "blur" : "noise",
  }));
  model = join(workspace.folder, "answering");
  makeAnsweringCheckpoint(workspace.model, model, {
    ones: [1, 2, 4, 6, 3],
    tenths: [5, 1, 2, 3, 4],
    hundredths: TENTHS.map((tenth) => Array.from({ length: 10 }, (_, digit) => 1 + ((digit + tenth) % 10))),
    closing: 0.4,
    opening: true,
    influence: 0.05,
  });
  worker = await startSharedWorker(workspace.config("answering", { model_name_or_path: model }));
});
afterAll(async () => {
  await worker.stop();
  workspace.remove();
});

function evaluated(more: Partial<Parameters<typeof evaluate>[0]> = {}): Promise<Evaluation> {
  return evaluate({
    model,
    data: workspace.data,
    imageFolders: workspace.images,
    maxCompletionLength: 24,
    bootstrap: 50,
    threads: 1,
    device: "cpu",
    connect: worker.connect,
    ...more,
  });
}

describe("evaluate, on a checkpoint whose answers depend a little on what it is shown", () => {
  it("gives the expected scores that all 500 answers give, each written out behind the prompt", async () => {
    const config = workspace.config("answering", { model_name_or_path: model });
    const policy = await openPolicy(config, { inference: true, connect: worker.connect });
    const rows: Row[] = await loadRows(config);
    const prompts = await policy.encode(rows.slice(0, 3));
    const found = await (await expectedEstimator(policy))(prompts);
    const [tag, ...whole] = await policy.tokenize(["<answer>", ...scoreAnswers.map(({ text }) => `<answer>${text}`)]);
    for (const [index, prompt] of prompts.entries()) {
      const sequences = whole.map((ids) => ({
        tokenIds: ids.slice(tag!.length),
        advantages: new Float32Array(4),
        weights: new Float32Array(4),
      }));
      const promptIds = Int32Array.from([...prompt.tokenIds, ...tag!]);
      const groups = [{ promptIds, images: prompt.images, firstIndex: 0, sequences }];
      const [logprobs] = await policy.logprobs({ id: "all", groups });
      const answers = scoreAnswers.map(({ score }, at) => ({
        score,
        logprob: logprobs![at]!.reduce((sum, logprob) => sum + logprob, 0),
      }));
      const expected = expectedScore(answers);
      expect(found[index]!.score).toBeCloseTo(expected.score!, 5);
      expect(found[index]!.std).toBeCloseTo(expected.std!, 5);
      expect(found[index]!.validMass).toBeCloseTo(expected.validMass, 5);
    }
    expect(new Set(found.map(({ score }) => score)).size).toBe(3);
  });

  it("writes the same bytes twice, also with the files under another path", async () => {
    const first = await evaluated({ samples: 4 });
    const folder = join(workspace.folder, "first");
    await writeEvaluation(folder, first);
    expect(readdirSync(folder).sort()).toEqual(["plots", "predictions.jsonl", "report.json"]);

    const elsewhere = join(workspace.folder, "elsewhere");
    mkdirSync(elsewhere);
    const names = ["answering", "images", "train.jsonl"];
    for (const name of names) renameSync(join(workspace.folder, name), join(elsewhere, name));
    const second = await evaluated({
      samples: 4,
      model: join(elsewhere, "answering"),
      data: join(elsewhere, "train.jsonl"),
      imageFolders: join(elsewhere, "images"),
    }).finally(() => names.forEach((name) => renameSync(join(elsewhere, name), join(workspace.folder, name))));
    await writeEvaluation(join(workspace.folder, "second"), second);
    for (const name of ["report.json", "predictions.jsonl", "plots/tiny.svg"]) {
      expect(readFileSync(join(workspace.folder, "second", name))).toEqual(readFileSync(join(folder, name)));
    }
    const report = readFileSync(join(folder, "report.json"), "utf8");
    expect(report).not.toContain(workspace.folder);
    expect(JSON.parse(report)).toEqual(reportOf(first));
    expect(first.model.sha256).toMatch(/^[0-9a-f]{64}$/);

    const { sampled, greedy, expected } = first.results[0]!.estimators;
    expect([sampled!.responses, greedy!.responses, expected!.responses]).toEqual([48, 12, 0]);
    expect(expected).toMatchObject({ n: 12, scored: 12, unparsable: 0 });
    expect(expected!.srcc).not.toBeNull();
    // Four in ten answers are D.T, which is no answer of the form D.TH.
    expect(Math.abs(expected!.meanValidMass! - 0.6)).toBeLessThan(0.1);
    expect(expected!.types.map(({ type, n }) => [type, n])).toEqual([
      ["blur", 6],
      ["noise", 6],
    ]);
    expect(first.results[0]).toMatchObject({ n: 12, resampled: "groups", groups: 4 });
  });

  it("counts answers without a score, and a picture without any has none", async () => {
    const { results, predictions, failures } = await evaluated({ estimators: ["sampled"], samples: 2 });
    const { sampled } = results[0]!.estimators;
    const answers = predictions.flatMap((prediction) => prediction.answers);
    const unreadable = answers.filter(({ score }) => score === null);
    expect(unreadable.length).toBeGreaterThan(0);
    expect(unreadable.length).toBeLessThan(answers.length);
    expect(sampled!.unparsableResponses).toBe(unreadable.length);
    for (const { score, answers: own, reason } of predictions) {
      const valid = own.map((answer) => answer.score).filter((one) => one !== null);
      if (valid.length === 0) expect([score, reason === null]).toEqual([null, false]);
      else expect(score).toBeCloseTo(valid.reduce((sum, one) => sum + one, 0) / valid.length, 12);
    }
    const without = predictions.filter(({ score }) => score === null).length;
    expect(sampled).toMatchObject({ unparsable: without, scored: 12 - without });
    expect(failures.map(({ value }) => value)).toEqual(without === 0 ? [] : [without / 12]);
  });

  it("shows grey pictures of the same size in the control, which then has nothing to go by but the size", async () => {
    const options = { estimators: ["expected"] as const, expectedAfter: "prefix" as const };
    const [real, blank] = [await evaluated(options), await evaluated({ ...options, blank: true })];
    expect(new Set(real.predictions.map(({ score }) => score)).size).toBe(12);
    expect(new Set(blank.predictions.map(({ score }) => score)).size).toBe(2);
    expect(blank.results[0]!.pictures).not.toBe(real.results[0]!.pictures);
    expect(blank.settings.blank).toBe(true);
    expect(blank.digests.settings).not.toBe(real.digests.settings);
  });
});
