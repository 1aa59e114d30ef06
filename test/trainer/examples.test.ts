import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { MockInstance } from "vitest";
import { dpo } from "../../examples/dpo.js";
import { grpoByHand } from "../../examples/grpo-by-hand.js";
import { rank } from "../../examples/pairwise-ranking.js";
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

describe("the examples of losses of one's own", () => {
  const update = ["logprobs", "forwardBackward", "optimStep"];
  let log: MockInstance;
  beforeAll(() => {
    log = vi.spyOn(console, "log").mockReturnValue();
  });
  afterAll(() => log.mockRestore());

  it("grpo-by-hand samples, rewards, and trains with the derivative of its loss", async () => {
    const worker = createFakeWorker();
    const config = set.config("grpo by hand", { learning_rate: 1e-3 });
    expect((await grpoByHand(config, worker)).length).toBe(4);
    const step = ["generate", "logprobs", ...update];
    expect(methodsOf(worker, ["load", "images", "encode"])).toEqual([step, step, step, step].flat());

    // The first update of a batch: its ratios are 1, so each derivative is -weight * advantage, as train sends them.
    const builtIn = await runFake({ ...config, output_dir: `${config.output_dir} built in`, num_generations: 6 });
    const sent = [worker, builtIn.worker].map(({ calls }) =>
      calls
        .filter(({ method }) => method === "forwardBackward")
        .map(({ tensors: { advantages, weights } }) =>
          (weights!.data as Float32Array).map((weight, token) => weight * (advantages!.data as Float32Array)[token]!),
        ),
    );
    for (const [index, own] of sent[0]!.entries()) {
      const theirs = sent[1]![index]!;
      expect(own.length).toBe(theirs.length);
      expect(Math.max(...own.map((value, token) => Math.abs(value - theirs[token]!)))).toBeLessThan(1e-7);
    }
  });

  it("dpo prefers completions nearer to the label, and starts from log 2", async () => {
    const worker = createFakeWorker();
    const losses = await dpo(set.config("dpo"), worker);
    expect(losses).toEqual(Array(4).fill(expect.closeTo(Math.LN2, 12)));
    const step = ["generate", "logprobs", ...update];
    expect(methodsOf(worker, ["load", "images", "encode"])).toEqual([step, step, step, step].flat());
  });

  it("dpo leaves a batch without preferences alone", async () => {
    const worker = createFakeWorker({ complete: () => "no answer" });
    expect(await dpo(set.config("no preferences"), worker)).toEqual([null, null, null, null]);
    expect(methodsOf(worker, ["load", "images", "encode"])).toEqual(Array(4).fill("generate"));
  });

  it("pairwise-ranking asks for the five answers of every picture", async () => {
    const worker = createFakeWorker();
    // All answers are equally likely: every comparison is even.
    expect(await rank(set.config("rank"), worker)).toEqual(Array(4).fill(expect.closeTo(1 - Math.SQRT1_2, 6)));
    const step = ["tokenize", ...update];
    expect(methodsOf(worker, ["load", "images", "encode"])).toEqual([step, step, step, step].flat());
    const sizes = worker.calls.find(({ method }) => method === "logprobs")!.tensors["group_sizes"]!.data;
    expect([...(sizes as Int32Array)]).toEqual([5, 5, 5]);
  });
});

/** What a loss on the wire means: null stands for the default (docs/protocol.md, `forwardBackward`). */
function meant(loss: unknown): Record<string, unknown> {
  const given = Object.entries(loss ?? {}).filter(([, value]) => value !== null);
  const { epsilon } = (loss ?? {}) as { epsilon?: number };
  return { epsilon_high: epsilon, kl: "k3", entropy_coefficient: 0, old: "detach", ...Object.fromEntries(given) };
}

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
          .map(({ params: { batch_id: _id, loss, ...params }, tensors }) => ({ params, loss: meant(loss), tensors })),
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
