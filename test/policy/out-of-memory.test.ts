/** A worker that runs out of memory is asked once more, for half as much at a time. */
import { describe, expect, it } from "vitest";
import type { Policy, TrainBatch } from "../../src/policy/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker } from "../../src/testing/index.js";
import { toTrainBatch } from "../../src/trainer/index.js";
import { createTestPolicy, textRows } from "../support/policy.js";
import type { TestRow } from "../support/policy.js";

/** Three groups of two completions; prompts of 3, 6 and 9 tokens, completions of 40 and the end of the turn. */
async function batchOf(policy: Policy<TestRow>): Promise<TrainBatch> {
  const groups = await policy.generate(await policy.encode(textRows), { samples: 2, step: 1 });
  return toTrainBatch(groups, [
    [1, -1],
    [0.5, 0],
    [2, 1],
  ]);
}
const complete = (): string => "x".repeat(40);
const ALL = 18 + 6 * 41;

const sizes = (worker: FakeWorker, wanted: string): number[] =>
  worker.calls
    .filter(({ method }) => method === wanted)
    .map(({ tensors }) => (tensors["completion_ids"]!.data as Int32Array).length);

describe("out of memory", () => {
  it("in an update: gradients are dropped, and made in parts of half the size, which stay so", async () => {
    const worker = createFakeWorker({ complete, memory: 200 });
    await using policy = await createTestPolicy({ worker });
    const batch = await batchOf(policy);
    expect(policy.tokensPerPart).toBe(null);
    const sums = await policy.forwardBackward(batch, { surrogate: "clip" });
    expect(sizes(worker, "forwardBackward")).toEqual([246, 82, 82, 82]);
    expect(worker.calls.filter(({ method }) => method === "discard")).toHaveLength(1);
    expect(policy.tokensPerPart).toBe(ALL / 2);

    await using roomy = await createTestPolicy({ worker: createFakeWorker({ complete }) });
    const whole = await roomy.forwardBackward(await batchOf(roomy), { surrogate: "clip" });
    expect(sums).toEqual({ ...whole, loss: expect.closeTo(whole.loss, 6), policyLoss: expect.closeTo(whole.loss, 6) });
    const update = { step: 1, learningRate: 1 };
    const { gradNorm } = await roomy.optimStep(update);
    expect(await policy.optimStep(update)).toEqual({ gradNorm: expect.closeTo(gradNorm, 6) as number, skipped: false });

    await policy.logprobs(batch);
    expect(sizes(worker, "logprobs")).toEqual([82, 82, 82]);
  });

  it("in a pass that changes nothing: the same", async () => {
    const worker = createFakeWorker({ complete, memory: 200, logprob: (token) => -token });
    await using policy = await createTestPolicy({ worker });
    const batch = await batchOf(policy);
    const found = await policy.logprobs(batch);
    expect(sizes(worker, "logprobs")).toEqual([246, 82, 82, 82]);
    expect(found.map((group) => group.length)).toEqual([2, 2, 2]);
    expect([...found[2]![1]!]).toEqual([...batch.groups[2]!.sequences[1]!.tokenIds].map((id) => -id));
  });

  it("again in the smaller parts ends it, and says what was tried", async () => {
    const worker = createFakeWorker({ complete, memory: 50 });
    await using policy = await createTestPolicy({ worker });
    const failed = policy.forwardBackward(await batchOf(policy), { surrogate: "clip" });
    await expect(failed).rejects.toMatchObject({
      code: "OUT_OF_MEMORY",
      message: expect.stringContaining("Parts of 264 tokens were too large, and so are those of 132") as string,
      fields: { tokens: 132 },
      cause: { code: "OUT_OF_MEMORY" },
    });
    expect(sizes(worker, "forwardBackward")).toEqual([246, 82]);
  });

  it("with one completion alone, or behind what cannot be sent again, ends it at once", async () => {
    const worker = createFakeWorker({ complete, memory: 30 });
    await using policy = await createTestPolicy({ worker, planner: { maxSequences: 1 } });
    await expect(policy.logprobs(await batchOf(policy))).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
    expect(sizes(worker, "logprobs")).toEqual([41]);

    const other = createFakeWorker({ complete, memory: 90 });
    await using second = await createTestPolicy({ worker: other });
    const batch = await batchOf(second);
    await second.forwardBackward({ id: batch.id, groups: batch.groups.slice(0, 1) }, { surrogate: "clip" });
    const rest = { id: batch.id, groups: batch.groups.slice(1) };
    await expect(second.forwardBackward(rest, { surrogate: "clip" })).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
    expect(second.tokensPerPart).toBe(null);
  });

  it("in one of two ranks that pass by themselves: both begin anew; of ranks in step nobody could", async () => {
    for (const [strategy, tried] of [
      ["ddp", true],
      ["fsdp2", false],
    ] as const) {
      const worker = createFakeWorker({ complete, memory: 100, ranks: 2 });
      await using policy = await createTestPolicy({ worker, strategy });
      const batch = await batchOf(policy);
      const passed = policy.forwardBackward(batch, { surrogate: "clip" });
      if (tried) {
        await passed;
        expect((await policy.optimStep({ step: 1, learningRate: 1 })).gradNorm).toBeCloseTo(3.5 / 6, 6);
      } else await expect(passed).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
      expect(policy.tokensPerPart === null).toBe(!tried);
    }
  });
});
