import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Row } from "../../../src/data/index.js";
import { loadRows, openPolicy } from "../../../src/index.js";
import { createFakeWorker } from "../../../src/testing/index.js";
import type { FakePrompt, FakeWorker, FakeWorkerOptions } from "../../../src/testing/index.js";
import { evaluateRows } from "../../../src/trainer/index.js";
import type { EvaluateRowsOptions, RowsEvaluation } from "../../../src/trainer/index.js";
import { createDataSet } from "../../support/data-set.js";
import type { DataSet } from "../../support/data-set.js";

let set: DataSet;
let rows: Row[];
beforeAll(async () => {
  set = await createDataSet({ rows: 6 });
  rows = await loadRows(set.config("x") as { data_file_paths: string[] });
});
afterAll(() => set.remove());

async function evaluate(
  fake: FakeWorkerOptions,
  options: Partial<EvaluateRowsOptions> = {},
): Promise<RowsEvaluation & { worker: FakeWorker }> {
  const worker = createFakeWorker(fake);
  await using policy = await openPolicy(set.config("x"), { connect: worker.connect });
  const found = await evaluateRows(policy, rows, { estimators: ["greedy"], bootstrap: 20, ...options });
  return { ...found, worker };
}

/** Completions that depend on how often the worker was asked, in the order of the rows. */
function inOrder(answers: (row: number, prompt: FakePrompt) => string, samples = 1): FakeWorkerOptions {
  let asked = 0;
  return { complete: (prompt) => answers(Math.floor(asked++ / samples), prompt) };
}
const answer = (score: number | string): string => `<think>a</think><answer>${score}</answer>`;

describe("evaluateRows", () => {
  it("correlates greedy ratings with the labels", async () => {
    // Labels rise with the row; ratings swap the first two.
    const ratings = [2, 1, 3, 4, 4.5, 5];
    const { results, worker } = await evaluate(inOrder((row) => answer(ratings[row]!)));
    expect(results).toHaveLength(1);
    expect(results[0]).toMatchObject({ dataset: "tiny", n: 6 });
    expect(results[0]!.estimators.greedy).toMatchObject({
      n: 6,
      labelled: 6,
      scored: 6,
      unparsable: 0,
      responses: 6,
      unparsableResponses: 0,
      srcc: 1 - (6 * 2) / (6 * 35),
      pairwiseAccuracy: 14 / 15,
      formatRate: 1,
      spread: Math.sqrt(ratings.reduce((sum, one) => sum + (one - 3.25) ** 2, 0) / 5),
      meanStd: null,
    });
    expect(Object.keys(results[0]!.estimators)).toEqual(["greedy"]);
    expect(worker.calls.find(({ method }) => method === "generate")!.params).toMatchObject({
      samples: 1,
      temperature: 0,
    });
  });

  it("samples at the policy's temperature or another one, and averages the valid answers", async () => {
    const mixed = inOrder(
      (row, { sample }) => (sample === 0 ? "hm" : answer(sample === 1 ? row / 2 + 1 : row / 2 + 2)),
      3,
    );
    const { results, predictions, worker } = await evaluate(mixed, { estimators: ["sampled"], samples: 3 });
    expect(results[0]!.estimators.sampled).toMatchObject({
      n: 6,
      scored: 6,
      unparsable: 0,
      responses: 18,
      unparsableResponses: 6,
      srcc: 1,
      formatRate: 2 / 3,
      meanStd: expect.closeTo(Math.SQRT1_2, 12) as number,
      // Means of the rows: 1.5, 2, 2.5, 3, 3.5, then (3.5 + 4.5) / 2 = 4.
      spread: expect.closeTo(Math.sqrt((2 * (1.25 ** 2 + 0.75 ** 2 + 0.25 ** 2)) / 5), 12) as number,
    });
    expect(predictions[0]!.answers.map(({ score, status }) => [score, status])).toEqual([
      [null, "failed"],
      [1, "ok"],
      [2, "ok"],
    ]);
    const { params, tensors } = worker.calls.find(({ method }) => method === "generate")!;
    expect(params).toMatchObject({ samples: 3, temperature: 1 });
    expect(new Set(tensors["keys"]!.data as BigInt64Array).size).toBe(6);

    const colder = await evaluate({}, { estimators: ["sampled"], samples: 2, temperature: 0.4 });
    expect(colder.worker.calls.find(({ method }) => method === "generate")!.params).toMatchObject({ temperature: 0.4 });
  });

  it("counts what cannot be parsed and what is out of range, and puts nothing in its place", async () => {
    const { results, predictions } = await evaluate(
      inOrder((row) => (row < 3 ? "I cannot say." : answer(row === 5 ? 7 : row))),
    );
    expect(results[0]!.estimators.greedy).toMatchObject({
      n: 6,
      scored: 3,
      unparsable: 3,
      imputed: 0,
      responses: 6,
      unparsableResponses: 3,
      outOfRange: 1,
      srcc: 1,
      formatRate: 0.5,
    });
    expect(predictions[0]).toMatchObject({ score: null, status: "failed", std: null });
    expect(predictions[0]!.reason).toContain('the first begins "I cannot say."');
    expect(predictions[5]).toMatchObject({ score: 5, status: "clamped", reason: null });
    const none = (await evaluate({ complete: () => "nothing" })).results[0]!.estimators.greedy!;
    expect(none).toMatchObject({ scored: 0, unparsable: 6, srcc: null, plcc: null, spread: null, formatRate: 0 });
    expect(none.reasons).toMatchObject({ srcc: "only 0 pictures have a score and a label, and it takes 3" });
  });

  it("uses the format that was asked for", async () => {
    const bare = { complete: () => "<answer>3</answer>" };
    expect((await evaluate(bare)).results[0]!.estimators.greedy).toMatchObject({ formatRate: 0, scored: 6 });
    const without = await evaluate(bare, { thinking: false });
    expect(without.results[0]!.estimators.greedy).toMatchObject({ formatRate: 1 });
  });

  it("tells data sets apart, in the order in which they first occur", async () => {
    const worker = createFakeWorker({ complete: () => answer(3) });
    await using policy = await openPolicy(set.config("x"), { connect: worker.connect });
    const mixed = rows.map((row, index) => ({ ...row, dataset: index % 3 === 0 ? "b" : "a" }));
    const { results } = await evaluateRows(policy, mixed, { estimators: ["greedy"], bootstrap: 5 });
    expect(results.map(({ dataset, n, estimators }) => [dataset, n, estimators.greedy!.reasons["srcc"]])).toEqual([
      ["b", 2, "only 2 pictures have a score and a label, and it takes 3"],
      ["a", 4, "all predictions are 3"],
    ]);
    expect(results[0]!.pictures).not.toBe(results[1]!.pictures);
  });

  it("pins no pictures, so that any number of rows fits, and tells how far it is", async () => {
    const done: number[] = [];
    const { worker } = await evaluate(
      { complete: () => answer(3) },
      { batch: 4, onProgress: (progress) => done.push(progress.done) },
    );
    const sent = worker.calls.filter(({ method }) => method === "images");
    expect(sent.map(({ params }) => params["step"])).toEqual([null, null, null, null]);
    expect(done).toEqual([4, 6]);
  });
});

describe("the expected score of rows", () => {
  /** A model that thinks of a number and writes it behind the tag, nearly always. */
  const thinking: FakeWorkerOptions = {
    complete: () => "<think>four</think><answer>4.20</answer>",
    probability: ({ text, next }) => {
      const written = /<answer>([^<]*)$/.exec(text)![1]!;
      const meant = text.includes("four") ? "4.20" : "2.00";
      return meant[written.length] === next && meant.startsWith(written) ? 0.99 : 0.001;
    },
  };

  it("is read behind the model's own greedy thinking, which serves the greedy score as well", async () => {
    const { results, predictions, worker } = await evaluate(thinking, { estimators: ["expected", "greedy"] });
    expect(Object.keys(results[0]!.estimators)).toEqual(["greedy", "expected"]);
    expect(predictions.map(({ estimator }) => estimator).slice(0, 2)).toEqual(["greedy", "expected"]);
    expect(predictions[1]!.score).toBeGreaterThan(4);
    expect(predictions[1]).toMatchObject({ answers: [], thoughts: "<think>four</think><answer>" });
    expect(predictions[1]!.validMass).toBeCloseTo(0.99 ** 4, 1);
    expect(worker.calls.filter(({ method }) => method === "generate")).toHaveLength(1);
    expect(results[0]!.estimators.expected).toMatchObject({ responses: 0, formatRate: null, outOfRange: 0 });
  });

  it("is read behind a forced answer tag where that is asked for, or where nothing asks for thinking", async () => {
    for (const options of [{ expectedAfter: "prefix" as const }, { thinking: false }]) {
      const { predictions, worker } = await evaluate(thinking, { estimators: ["expected"], ...options });
      expect(predictions[0]!.score).toBeLessThan(2.2);
      expect(predictions[0]!.thoughts).toBeNull();
      expect(worker.calls.filter(({ method }) => method === "generate")).toHaveLength(0);
    }
  });

  it("is null, and counted, where the model writes no answer tag or no score", async () => {
    const silent = await evaluate({ ...thinking, complete: () => "I like it." }, { estimators: ["expected"] });
    expect(silent.results[0]!.estimators.expected).toMatchObject({ scored: 0, unparsable: 6 });
    expect(silent.predictions[0]!.reason).toContain("holds no <answer>");
    const vague = await evaluate({ complete: () => answer(3), probability: () => 1e-3 }, { estimators: ["expected"] });
    expect(vague.predictions[0]).toMatchObject({ score: null, validMass: expect.closeTo(5e-10, 12) as number });
  });
});
