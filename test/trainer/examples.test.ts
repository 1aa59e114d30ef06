import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { simpleRun } from "../../examples/simple-run.js";
import {
  createSampler,
  groupAdvantages,
  loadRows,
  openPolicy,
  schedules,
  scoreRewards,
  splitUpdates,
  toTrainBatch,
} from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { methodsOf, runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

describe("the example of a simple run", () => {
  it("trains with its own reward and tells every step", async () => {
    const log = vi.spyOn(console, "log").mockReturnValue();
    const { connect } = createFakeWorker();
    const result = await simpleRun(set.config("simple"), { connect });
    expect(result.step).toBe(4);
    expect(result.metrics).toHaveProperty(["rewards/brief/mean"]);
    expect(log.mock.calls.map(([line]) => String(line).replace(/reward .*/, "reward"))).toEqual(
      [1, 2, 3, 4].map((step) => `step ${step} of 4: reward`),
    );
    log.mockRestore();
  });
});

describe("an own loop on the verbs", () => {
  const rewards = { fidelity: 1, format: 1 };

  it("does to the model what train does", async () => {
    const config = set.config("own", { learning_rate: 1e-3, num_iterations: 1 });
    const worker = createFakeWorker();
    const sampler = createSampler(await loadRows({ data_file_paths: [set.data], image_folders: [set.images] }), config);
    const schedule = schedules.linear({ learningRate: 1e-3, totalSteps: sampler.batches });
    await using policy = await openPolicy(config, { connect: worker.connect });
    for await (const { step, rows } of sampler) {
      const prompts = await policy.encode(rows, { step });
      const groups = await policy.generate(prompts, { samples: 4, step });
      const scored = await scoreRewards(groups, rewards);
      const advantages = groupAdvantages(scored.totals, { scale: "group" });
      await policy.forwardBackward(toTrainBatch(groups, advantages), { surrogate: "clip", epsilon: 0.2, beta: 0.04 });
      await policy.optimStep({ step, learningRate: schedule(step) });
    }

    const trained = await runFake(config);
    for (const method of ["generate", "forwardBackward", "optimStep"]) {
      const [own, theirs] = [worker, trained.worker].map(({ calls }) =>
        calls
          .filter((call) => call.method === method)
          .map(({ params: { batch_id: _id, ...params }, tensors }) => ({ params, tensors })),
      );
      expect(own).toEqual(theirs);
    }
  });

  it("can cut a rollout batch into updates as train does", async () => {
    const config = set.config("updates");
    const worker = createFakeWorker();
    await using policy = await openPolicy(config, { connect: worker.connect });
    const rows = await loadRows({ data_file_paths: [set.data], image_folders: [set.images] });
    const groups = await policy.generate(await policy.encode(rows), { samples: 2, step: 1 });
    const { totals } = await scoreRewards(groups, rewards);
    const batch = toTrainBatch(groups, groupAdvantages(totals), { updates: 2 });
    await policy.logprobs(batch, { store: true });
    for (const update of splitUpdates(batch, 2)) {
      await policy.forwardBackward(update, { surrogate: "clip", old: "stored" });
      await policy.optimStep({ step: policy.version + 1, learningRate: 1e-3 });
    }
    expect(methodsOf(worker).slice(-5)).toEqual([
      "logprobs",
      "forwardBackward",
      "optimStep",
      "forwardBackward",
      "optimStep",
    ]);
    expect(policy.version).toBe(2);
  });
});
