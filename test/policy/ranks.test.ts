/** A policy over several fake workers: what each of them is asked, and that nobody sees the difference. */
import { describe, expect, it } from "vitest";
import { WorkerError } from "../../src/errors.js";
import { createRanks } from "../../src/policy/ranks.js";
import type { Policy, TrainBatch } from "../../src/policy/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker } from "../../src/testing/index.js";
import { toTrainBatch } from "../../src/trainer/index.js";
import { withResult } from "../support/fake-run.js";
import { createTestPolicy, testPicture } from "../support/policy.js";
import type { TestRow } from "../support/policy.js";

const RANKS = 3;
const rows: readonly TestRow[] = ["one", "second", "the third row", "4", "fifth"].map((text) => ({ text }));
const advantages = rows.map((_, row) => [row, -1]);

/** Completion indices that each rank was sent by this method, call by call. */
function indicesByRank(worker: FakeWorker, method: string): number[][][] {
  return Array.from({ length: RANKS }, (_, rank) =>
    worker.calls
      .filter((call) => call.method === method && call.rank === rank)
      .map(({ tensors }) => [...(tensors["completion_index"]!.data as Int32Array)]),
  );
}

async function step(policy: Policy<TestRow>): Promise<readonly [TrainBatch, unknown]> {
  const groups = await policy.generate(await policy.encode(rows, { step: 1 }), { samples: 2, step: 1 });
  const batch = toTrainBatch(groups, advantages);
  const old = await policy.logprobs(batch, { store: true });
  const sums = await policy.forwardBackward(batch, { surrogate: "clip", old: "stored" });
  const update = await policy.optimStep({ step: 1, learningRate: 0.1 });
  return [batch, { texts: groups.map((group) => group.completions.map(({ text }) => text)), old, sums, update }];
}

describe("several ranks", () => {
  it("give what one gives, in the same order", async () => {
    await using alone = await createTestPolicy();
    await using several = await createTestPolicy({ worker: createFakeWorker({ ranks: RANKS }) });
    const [, expected] = await step(alone);
    const [, found] = await step(several);
    expect(found).toEqual(expected);
    expect(several.description.ranks).toBe(RANKS);
  });

  it("meet at load, sample each prompt once, and train on a group where its log-probabilities are kept", async () => {
    const worker = createFakeWorker({ ranks: RANKS });
    await using policy = await createTestPolicy({ worker, planner: { maxSequences: 2 } });
    await step(policy);
    const loads = worker.calls.filter(({ method }) => method === "load");
    expect(loads.map(({ params }) => params["ranks"])).toEqual(
      [0, 1, 2].map((rank) => ({ rank, world_size: RANKS, rendezvous: "/meeting", timeout: 60 })),
    );
    expect(worker.calls.filter(({ method }) => method === "encode").map(({ rank }) => rank)).toEqual([0]);
    const trained = indicesByRank(worker, "forwardBackward");
    expect(trained).toEqual(indicesByRank(worker, "logprobs"));
    expect(trained.flat(2).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // Two passes each, one of them on nothing.
    expect(trained.map((calls) => calls.length)).toEqual([2, 2, 2]);
    expect(trained.flat().filter((call) => call.length === 0)).toHaveLength(1);
    const steps = worker.calls.filter(({ method }) => method === "optimStep");
    expect(steps.map(({ params }) => params["parts"])).toEqual([2, 2, 2]);
  });

  it("that have a model each are asked nothing that is empty", async () => {
    const worker = createFakeWorker({ ranks: RANKS });
    await using policy = await createTestPolicy({ worker, together: false });
    const [first] = rows;
    const groups = await policy.generate(await policy.encode([first!]), { samples: 2, step: 1 });
    await policy.logprobs(toTrainBatch(groups, [[1, 0]]));
    const asked = worker.calls.filter(({ method }) => ["generate", "logprobs"].includes(method));
    expect(asked.map(({ method }) => method)).toEqual(["generate", "logprobs"]);
    expect(worker.calls.find(({ method }) => method === "load")!.params["ranks"]).toBe(null);
  });

  it("get the pictures of their groups, and no others", async () => {
    const worker = createFakeWorker({ ranks: RANKS });
    await using policy = await createTestPolicy({ worker });
    const pictures = ["a", "b", "c"].map((key) => testPicture(key));
    const prompts = await policy.encode(
      pictures.map((picture, index) => ({ text: "x".repeat(9 - index), pictures: [picture] })),
      { step: 1 },
    );
    const groups = await policy.generate(prompts, { samples: 2, step: 1 });
    await policy.forwardBackward(
      toTrainBatch(groups, [
        [1, 0],
        [0, 1],
        [1, 1],
      ]),
      { surrogate: "clip" },
    );
    const sent = worker.calls.filter(({ method, tensors }) => method === "images" && Object.keys(tensors).length > 0);
    const keys = sent.map(({ rank, params }) => [rank, (params["images"] as { key: string }[]).map(({ key }) => key)]);
    expect(keys.toSorted((a, b) => Number(a[0]) - Number(b[0]))).toEqual([
      [0, ["a"]],
      [1, ["b"]],
      [2, ["c"]],
    ]);
    expect(pictures.map(({ reads }) => reads)).toEqual([1, 1, 1]);
  });

  it("that fall apart end the step, every answer named", async () => {
    const worker = createFakeWorker({ ranks: 2 });
    let answers = 0;
    await using policy = await createTestPolicy({
      worker,
      after: (method, reply) =>
        method === "optimStep" && ++answers === 2 ? withResult(reply, { grad_norm: 0.5 }) : reply,
    });
    await expect(step(policy)).rejects.toMatchObject({
      code: "RANKS_DIVERGED",
      message: expect.stringMatching(/rank 0 .*grad_norm.* rank 1 .*grad_norm: 0\.5/s) as string,
    });
  });

  it("drop the gradients of a step in which one of them failed; the cause is what is told", async () => {
    const worker = createFakeWorker({ ranks: 2 });
    let calls = 0;
    await using policy = await createTestPolicy({
      worker,
      before(method) {
        if (method !== "forwardBackward") return;
        calls += 1;
        if (calls === 1) throw new WorkerError("OTHER_RANK_FAILED", "another rank failed");
        if (calls === 2) throw new WorkerError("OUT_OF_MEMORY", "no room");
      },
    });
    await expect(step(policy)).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
    expect(worker.calls.filter(({ method }) => method === "discard").map(({ rank }) => rank)).toEqual([0, 1]);
    await expect(step(policy)).resolves.toBeDefined();
  });
});

describe("createRanks", () => {
  it("tells the others to stop when one fails, and waits for them", async () => {
    const ended: number[] = [];
    const ranks = createRanks([0, 1, 2].map(() => async () => ({ result: {}, tensors: {} })));
    const work = ranks.each(undefined, async ({ number }, { signal }) => {
      if (number === 1) throw new Error("first");
      await new Promise<void>((resolve) => signal!.addEventListener("abort", () => setTimeout(resolve, 5)));
      ended.push(number);
      throw new WorkerError("BRIDGE_CANCELLED", "cancelled");
    });
    await expect(work).rejects.toThrow("first");
    expect(ended).toEqual([0, 2]);
  });

  it("names the rank that does not answer after another gave up waiting for it", async () => {
    const ranks = createRanks(
      [0, 1].map(() => async () => ({ result: {}, tensors: {} })),
      { grace: 10, notice: 10 },
    );
    const work = ranks.each(undefined, ({ number }) =>
      number === 0 ? Promise.reject(new WorkerError("COLLECTIVE_FAILED", "timed out")) : new Promise<never>(() => {}),
    );
    await expect(work).rejects.toMatchObject({ code: "COLLECTIVE_FAILED", fields: { ranks: [1] } });
    await expect(work).rejects.toThrow("rank 1 did not come to where the others waited");
  });

  it("knows when ranks that pass together wait for one that ran out of memory", async () => {
    const calls = [0, 1].map(() => async () => ({ result: {}, tensors: {} }));
    const areLost = async (inStep: boolean, code: string, answer: string): Promise<boolean> => {
      const ranks = createRanks(calls, { inStep });
      const failure = await ranks
        .each(undefined, ({ number }) => Promise.reject(new WorkerError(number === 0 ? code : answer, "failed")))
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({ code });
      return ranks.areLost(failure);
    };
    expect(await areLost(true, "OUT_OF_MEMORY", "BRIDGE_CANCELLED")).toBe(true);
    expect(await areLost(true, "WORKER_EXCEPTION", "BRIDGE_CANCELLED")).toBe(true);
    // The other one answered, so it waits for nobody.
    expect(await areLost(true, "OUT_OF_MEMORY", "OTHER_RANK_FAILED")).toBe(false);
    expect(await areLost(true, "STEP_MISMATCH", "BRIDGE_CANCELLED")).toBe(false);
    expect(await areLost(false, "OUT_OF_MEMORY", "BRIDGE_CANCELLED")).toBe(false);
  });

  it("says which rank died, also when those that waited for it notice first", async () => {
    const ranks = createRanks([0, 1].map(() => async () => ({ result: {}, tensors: {} })));
    const work = ranks.each(undefined, async ({ number }, { signal }) => {
      if (number === 0) throw new WorkerError("COLLECTIVE_FAILED", "connection closed by peer");
      await new Promise((resolve) => setTimeout(resolve, 20));
      throw new WorkerError(signal!.aborted ? "BRIDGE_CANCELLED" : "WORKER_DIED", "rank 1 ended");
    });
    await expect(work).rejects.toMatchObject({ code: "WORKER_DIED" });
  });
});
