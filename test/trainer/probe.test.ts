import { existsSync, readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRun, train } from "../../src/index.js";
import { probe } from "../../src/trainer/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { methodsOf } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

describe("probe", () => {
  it("runs the first step without an update and leaves nothing behind", async () => {
    const worker = createFakeWorker();
    const config = set.config("probe");
    const before = readdirSync(set.folder);
    const result = await probe(config, { connect: worker.connect });

    expect(methodsOf(worker)).toEqual(["load", "generate", "forwardBackward", "discard"]);
    expect(worker.open).toBe(0);
    expect(existsSync(config.output_dir!)).toBe(false);
    expect(readdirSync(set.folder)).toEqual(before);
    expect(result.completions.length).toBe(12);
    expect(result.advantages.map((group) => group.length)).toEqual([4, 4, 4]);
    expect(result.metrics).toMatchObject({ "rewards/format/mean": 1, "parse/failed_ratio": 0 });
    expect(Object.keys(result.seconds)).toEqual([
      "load",
      "encode",
      "generate",
      "rewards",
      "logprobs",
      "forwardBackward",
    ]);
  });

  it("shows the completions that the first step of the run will have", async () => {
    const config = set.config("same", { max_steps: 1 });
    const result = await probe(config, { connect: createFakeWorker().connect });
    await train(config, { connect: createFakeWorker().connect }).result;
    const recorded = await (await openRun(config.output_dir!)).rollouts(1);
    expect(recorded).toMatchObject(result.completions);
    expect(recorded.map(({ advantage }) => advantage)).toEqual(result.advantages.flat());
  });

  it("differentiates what the first of several updates of the run will", async () => {
    const several = { max_steps: 3, per_device_train_batch_size: 4, drop_zero_variance_groups: true };
    const config = set.config("several", several);
    const [probed, trained] = [createFakeWorker(), createFakeWorker()];
    const result = await probe(config, { connect: probed.connect });
    await train(config, { connect: trained.connect }).result;

    const asked = methodsOf(probed).slice(1, -1);
    expect(asked).toEqual(methodsOf(trained).slice(1, 1 + asked.length));
    expect(asked.filter((method) => method === "forwardBackward")).toHaveLength(1);
    const first = ({ calls }: FakeWorker) => calls.find(({ method }) => method === "forwardBackward")!;
    expect(first(probed).tensors).toEqual(first(trained).tensors);
    expect(first(probed).params).toMatchObject({ loss: first(trained).params["loss"]!, step: 1 });
    const [logged] = await (await openRun(config.output_dir!)).metrics();
    expect(logged).toMatchObject({ step: 1, values: result.metrics });
  });

  it("can be given up", async () => {
    const reason = new Error("enough");
    const worker = createFakeWorker();
    const asked = probe(set.config("given-up"), { connect: worker.connect, signal: AbortSignal.abort(reason) });
    await expect(asked).rejects.toBe(reason);
    expect(worker.open).toBe(0);
  });
});
