import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadRows, openPolicy } from "../../src/index.js";
import { formatReward, parseScore } from "../../src/rewards/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { teachFormat } from "../../bench/support/teach-format.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

describe("teachFormat", () => {
  it("teaches made-up answers in the right layout, and stops at the rate asked for", async () => {
    // The model answers in the layout with a chance that rises with every update.
    const worker = createFakeWorker({
      complete: ({ draw, version }) => (draw < version / 20 ? "<think>a</think><answer>3</answer>" : "no"),
    });
    const config = set.config("teach");
    await using policy = await openPolicy(config, { connect: worker.connect });
    const prompts = await policy.encode(await loadRows({ data_file_paths: [set.data], image_folders: [set.images] }));
    const looks: { step: number; rate: number }[] = [];
    const result = await teachFormat(policy, prompts, {
      seed: 1,
      prompts: 2,
      answers: 2,
      onCheck: (look) => looks.push(look),
    });

    expect(result).toEqual({ steps: looks.at(-1)!.step, rate: looks.at(-1)!.rate });
    expect(result.rate).toBeGreaterThanOrEqual(0.5);
    expect(looks.map(({ step }) => step)).toEqual(Array.from({ length: looks.length }, (_, index) => 5 * (index + 1)));
    expect(looks.slice(0, -1).every(({ rate }) => rate < 0.5)).toBe(true);

    const lessons = worker.calls.filter(({ method }) => method === "forwardBackward");
    expect(lessons.length).toBe(result.steps);
    expect(lessons[0]!.params["loss"]).toMatchObject({ surrogate: "nll", beta: null, old: null });
    const { completion_ids: ids, completion_lengths: lengths, weights } = lessons[0]!.tensors;
    let at = 0;
    const texts = Array.from(lengths!.data as Int32Array, (length) => {
      const own = (ids!.data as Int32Array).slice(at, (at += length));
      expect(own.at(-1)).toBe(256);
      return Buffer.from(own.slice(0, -1)).toString("utf8");
    });
    expect(texts.length).toBe(4);
    for (const text of texts) {
      expect(formatReward(text)).toBe(1);
      expect(parseScore(text).status).toBe("ok");
    }
    expect((weights!.data as Float32Array).reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 6);
  });

  it("gives up after maxSteps", async () => {
    const worker = createFakeWorker({ complete: () => "never" });
    await using policy = await openPolicy(set.config("never"), { connect: worker.connect });
    const prompts = await policy.encode(await loadRows({ data_file_paths: [set.data], image_folders: [set.images] }));
    expect(await teachFormat(policy, prompts, { seed: 1, maxSteps: 10 })).toEqual({ steps: 10, rate: 0 });
  });
});
