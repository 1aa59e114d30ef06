import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Row } from "../../src/data/index.js";
import { loadRows, openPolicy } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakePrompt } from "../../src/testing/index.js";
import { evaluateRows } from "../../src/trainer/index.js";
import type { EvaluateOptions } from "../../src/trainer/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";

let set: DataSet;
let rows: Row[];
beforeAll(async () => {
  set = await createDataSet({ rows: 6 });
  rows = await loadRows(set.config("x") as { data_file_paths: string[] });
});
afterAll(() => set.remove());

/** Evaluates with completions that depend on how often the worker was asked, in the order of the rows. */
async function evaluate(answers: (row: number, prompt: FakePrompt) => string, options: Partial<EvaluateOptions> = {}) {
  let asked = 0;
  const samples = options.samples ?? 1;
  const worker = createFakeWorker({ complete: (prompt) => answers(Math.floor(asked++ / samples), prompt) });
  await using policy = await openPolicy(set.config("x"), { connect: worker.connect });
  const results = await evaluateRows(policy, rows, { samples, step: 1, ...options });
  return { results, worker };
}
const answer = (score: number | string): string => `<think>a</think><answer>${score}</answer>`;

describe("evaluateRows", () => {
  it("correlates greedy ratings with the labels", async () => {
    // Labels rise with the row; ratings swap the first two.
    const ratings = [2, 1, 3, 4, 4.5, 5];
    const { results, worker } = await evaluate((row) => answer(ratings[row]!));
    expect(results).toEqual([
      {
        dataset: "tiny",
        n: 6,
        scored: 6,
        unparsable: 0,
        responses: 6,
        srcc: 1 - (6 * 2) / (6 * 35),
        formatRate: 1,
        spread: Math.sqrt(ratings.reduce((sum, one) => sum + (one - 3.25) ** 2, 0) / 5),
      },
    ]);
    expect(worker.calls.find(({ method }) => method === "generate")!.params).toMatchObject({
      samples: 1,
      temperature: 0,
    });
  });

  it("samples at the policy's temperature when several answers are asked for, and averages the valid ones", async () => {
    const { results, worker } = await evaluate(
      (row, { sample }) => (sample === 0 ? "hm" : answer(sample === 1 ? row / 2 + 1 : row / 2 + 2)),
      { samples: 3 },
    );
    expect(results).toEqual([
      {
        dataset: "tiny",
        n: 6,
        scored: 6,
        unparsable: 6,
        responses: 18,
        srcc: 1,
        formatRate: 2 / 3,
        // Means of the rows: 1.5, 2, 2.5, 3, 3.5, then (3.5 + 4.5) / 2 = 4.
        spread: expect.closeTo(Math.sqrt((2 * (1.25 ** 2 + 0.75 ** 2 + 0.25 ** 2)) / 5), 12) as number,
      },
    ]);
    const { params, tensors } = worker.calls.find(({ method }) => method === "generate")!;
    expect(params).toMatchObject({ samples: 3, temperature: 1 });
    expect(new Set(tensors["keys"]!.data as BigInt64Array).size).toBe(6);
  });

  it("counts what cannot be parsed and puts nothing in its place", async () => {
    const { results } = await evaluate((row) => (row < 3 ? "I cannot say." : answer(row)));
    expect(results[0]).toMatchObject({ n: 6, scored: 3, unparsable: 3, responses: 6, srcc: 1, formatRate: 0.5 });
    const { results: none } = await evaluate(() => "nothing");
    expect(none[0]).toMatchObject({ n: 6, scored: 0, unparsable: 6, srcc: null, spread: null, formatRate: 0 });
  });

  it("uses the format that was asked for", async () => {
    const bare = (row: number): string => `<answer>${row + 1}</answer>`;
    expect((await evaluate(bare)).results[0]).toMatchObject({ formatRate: 0, scored: 6 });
    expect((await evaluate(bare, { thinking: false })).results[0]).toMatchObject({ formatRate: 1 });
  });

  it("tells data sets apart, in the order in which they first occur", async () => {
    const worker = createFakeWorker({ complete: () => answer(3) });
    await using policy = await openPolicy(set.config("x"), { connect: worker.connect });
    const mixed = rows.map((row, index) => ({ ...row, dataset: index % 3 === 0 ? "b" : "a" }));
    const results = await evaluateRows(policy, mixed, { samples: 1, step: 1 });
    expect(results.map(({ dataset, n, srcc }) => [dataset, n, srcc])).toEqual([
      ["b", 2, null],
      ["a", 4, null],
    ]);
  });

  it("pins no pictures, so that any number of rows fits", async () => {
    const { worker } = await evaluate(() => answer(3));
    const sent = worker.calls.filter(({ method }) => method === "images");
    expect(sent.map(({ params }) => params["step"])).toEqual([null, null]);
  });
});
