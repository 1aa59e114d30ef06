import { describe, expect, it } from "vitest";
import { WorkerError } from "../../src/errors.js";
import type { TrainBatch } from "../../src/policy/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { toTrainBatch } from "../../src/trainer/index.js";
import { methodsOf, withResult, withTensors } from "../support/fake-run.js";
import { createTestPolicy, textRows } from "../support/policy.js";

/** A batch of three groups of two completions. */
async function batchOf(policy: Awaited<ReturnType<typeof createTestPolicy>>): Promise<TrainBatch> {
  const groups = await policy.generate(await policy.encode(textRows), { samples: 2, step: 1 });
  return toTrainBatch(groups, [
    [1, -1],
    [0.5, 0],
    [2, 1],
  ]);
}

describe("logprobs", () => {
  it("come alone, or with entropies, in the order of the batch over all parts", async () => {
    const worker = createFakeWorker({ logprob: (token) => -token, entropy: (token) => token / 2 });
    await using policy = await createTestPolicy({ worker, planner: { maxSequences: 1 } });
    const batch = await batchOf(policy);
    const ids = batch.groups.map(({ sequences }) => sequences.map(({ tokenIds }) => [...tokenIds]));
    const plain = (values: Float32Array[][]): number[][][] => values.map((group) => group.map((own) => [...own]));
    const times = (factor: number): number[][][] =>
      ids.map((group) => group.map((own) => own.map((id) => id * factor)));
    expect(plain(await policy.logprobs(batch))).toEqual(times(-1));
    const { logprobs, entropies } = await policy.logprobs(batch, { entropy: true });
    expect(plain(logprobs)).toEqual(times(-1));
    expect(plain(entropies)).toEqual(times(0.5));
    const asked = worker.calls.filter(({ method }) => method === "logprobs").map(({ params }) => params["entropy"]);
    expect(asked).toEqual(Array.from({ length: 12 }, (_, call) => call >= 6));
  });
});

describe("forwardBackward and optimStep", () => {
  it("send a batch in parts that together are the whole, groups cut where they must be", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker, planner: { maxSequences: 1 } });
    const batch = await batchOf(policy);
    const sums = await policy.forwardBackward(batch, { surrogate: "clip" });
    const parts = worker.calls.filter(({ method }) => method === "forwardBackward");
    expect(parts.map(({ params }) => params["part"])).toEqual([0, 1, 2, 3, 4, 5]);
    expect(parts.flatMap(({ tensors }) => [...(tensors["completion_index"]!.data as Int32Array)])).toEqual([
      0, 1, 2, 3, 4, 5,
    ]);
    expect(parts.map(({ tensors }) => (tensors["prompt_ids"]!.data as Int32Array).length)).toEqual([3, 3, 6, 6, 9, 9]);
    const { surrogate, ...others } = parts[0]!.params["loss"] as Record<string, unknown>;
    expect(surrogate).toBe("clip");
    // The worker has the defaults.
    expect(new Set(Object.values(others))).toEqual(new Set([null]));
    // The fake's loss is -sum w A, and every completion weighs 1/6.
    expect(sums.loss).toBeCloseTo(-(1 - 1 + 0.5 + 0 + 2 + 1) / 6, 6);
    expect(sums).toMatchObject({ sequences: 6, tokens: sums.entropy });

    const update = await policy.optimStep({ step: 1, learningRate: 0.1 });
    expect(update).toEqual({ gradNorm: expect.closeTo(3.5 / 6, 6) as number, skipped: false });
    expect(worker.calls.at(-1)!.params).toMatchObject({ step: 1, parts: 6, learning_rate: 0.1, max_grad_norm: 1 });
    expect(policy.version).toBe(1);
  });

  it.each([
    [
      1,
      [
        [0, 1],
        [2, 3],
        [4, 5],
      ],
    ],
    [1e6, [[0, 1, 2, 3, 4, 5]]],
  ])("fill a part with whole groups up to %d bytes of activations", async (partBytes, expected) => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker, planner: { partBytes } });
    await policy.forwardBackward(await batchOf(policy), { surrogate: "clip" });
    const parts = worker.calls.filter(({ method }) => method === "forwardBackward");
    expect(parts.map(({ tensors }) => [...(tensors["completion_index"]!.data as Int32Array)])).toEqual(expected);
  });

  it("add up over several calls of one step", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker });
    const batch = await batchOf(policy);
    for (const group of batch.groups)
      await policy.forwardBackward({ id: batch.id, groups: [group] }, { surrogate: "nll" });
    await policy.optimStep({ step: 1, learningRate: 1 });
    const parts = worker.calls.filter(({ method }) => method === "forwardBackward").map(({ params }) => params["part"]);
    expect(parts).toEqual([0, 1, 2]);
  });

  it("drop the gradients of a step in which a part failed; it can be sent again", async () => {
    const worker = createFakeWorker();
    let sent = 0;
    await using policy = await createTestPolicy({
      worker,
      planner: { maxSequences: 2 },
      before(method) {
        if (method === "forwardBackward" && ++sent === 2) throw new WorkerError("WORKER_EXCEPTION", "broken");
      },
    });
    const batch = await batchOf(policy);
    await expect(policy.forwardBackward(batch, { surrogate: "clip" })).rejects.toMatchObject({
      code: "WORKER_EXCEPTION",
    });
    expect(methodsOf(worker).slice(-2)).toEqual(["forwardBackward", "discard"]);
    await policy.forwardBackward(batch, { surrogate: "clip" });
    expect(await policy.optimStep({ step: 1, learningRate: 1 })).toEqual({
      gradNorm: expect.closeTo(3.5 / 6, 6) as number,
      skipped: false,
    });
  });

  it("keep the first error when the worker is gone, which answers everything with one and the same", async () => {
    const died = new WorkerError("WORKER_DIED", "the worker ended with signal SIGKILL");
    let dead = false;
    await using policy = await createTestPolicy({
      before(method) {
        dead ||= method === "forwardBackward";
        if (dead) throw died;
      },
    });
    const error = await policy
      .forwardBackward(await batchOf(policy), { surrogate: "clip" })
      .catch((one: unknown) => one);
    expect(error).toBe(died);
    expect(died.cause).toBe(undefined);
  });

  it("discard on request", async () => {
    await using policy = await createTestPolicy();
    const batch = await batchOf(policy);
    await policy.forwardBackward(batch, { surrogate: "clip" });
    await policy.discard();
    await expect(policy.optimStep({ step: 1, learningRate: 1 })).resolves.toMatchObject({ gradNorm: 0 });
  });

  it("refuse a step that does not follow the last", async () => {
    await using policy = await createTestPolicy();
    const batch = await batchOf(policy);
    await expect(policy.forwardBackward(batch, { surrogate: "clip" }, { step: 3 })).rejects.toMatchObject({
      code: "STEP_MISMATCH",
    });
    await expect(policy.optimStep({ step: 2, learningRate: 1 })).rejects.toMatchObject({ code: "STEP_MISMATCH" });
  });

  it("refuse weights of another version", async () => {
    const worker = createFakeWorker();
    const connection = await worker.connect();
    await using policy = await createTestPolicy({ worker: { ...worker, connect: async () => connection } });
    const prompts = await policy.encode(textRows);
    const update = { policy_version: 0, step: 1, parts: 0, learning_rate: 1, max_grad_norm: null };
    await connection.callers[0]!.call("optimStep", update);
    await expect(policy.generate(prompts, { samples: 1, step: 1 })).rejects.toMatchObject({
      name: "WorkerError",
      code: "POLICY_VERSION_MISMATCH",
    });
  });

  it("report a skipped update", async () => {
    await using policy = await createTestPolicy({
      after: (method, reply) =>
        method === "optimStep" ? withResult(reply, { skipped: true, grad_norm: Number.POSITIVE_INFINITY }) : reply,
    });
    await policy.forwardBackward(await batchOf(policy), { surrogate: "clip" });
    expect(await policy.optimStep({ step: 1, learningRate: 1 })).toEqual({ gradNorm: Infinity, skipped: true });
    expect(policy.version).toBe(1);
  });

  it("take the temperature of sampling, or 1 where sampling is greedy", async () => {
    for (const [temperature, expected] of [
      [0.5, 0.5],
      [0, 1],
    ]) {
      const worker = createFakeWorker();
      await using policy = await createTestPolicy({ worker, settings: { temperature: temperature! } });
      await policy.forwardBackward(await batchOf(policy), { surrogate: "clip" });
      expect(worker.calls.at(-1)!.params["temperature"]).toBe(expected);
    }
  });
});

describe("logprobs", () => {
  it("come back by group, completion and token, whatever the parts", async () => {
    const worker = createFakeWorker();
    let next = 0;
    await using policy = await createTestPolicy({
      worker,
      planner: { maxSequences: 4 },
      after(method, reply) {
        if (method !== "logprobs") return reply;
        const { length } = reply.tensors["logprobs"]!.data;
        const data = Float32Array.from({ length }, () => next++);
        return withTensors(reply, { logprobs: { dtype: "f32", shape: [length], data } });
      },
    });
    const batch = await batchOf(policy);
    const logprobs = await policy.logprobs(batch, { of: "reference", store: true });
    expect(logprobs.map((group) => group.map((one) => one.length))).toEqual(
      batch.groups.map((group) => group.sequences.map(({ tokenIds }) => tokenIds.length)),
    );
    const all = logprobs.flat().flatMap((one) => [...one]);
    expect(all).toEqual(Array.from({ length: all.length }, (_, index) => index));
    const calls = worker.calls.filter(({ method }) => method === "logprobs");
    expect(calls.map(({ params }) => [params["of"], params["store"], params["batch_id"]])).toEqual([
      ["reference", true, batch.id],
      ["reference", true, batch.id],
    ]);
  });

  it("of another number than the tokens are refused", async () => {
    await using policy = await createTestPolicy({
      after: (method, reply) =>
        method === "logprobs"
          ? withTensors(reply, { logprobs: { dtype: "f32", shape: [2], data: new Float32Array(2) } })
          : reply,
    });
    await expect(policy.logprobs(await batchOf(policy))).rejects.toMatchObject({ code: "WIRE_RAGGED" });
  });
});

describe("candidates", () => {
  it("are scored at every token of every completion, across the planner's cuts", async () => {
    const worker = createFakeWorker({
      probability: ({ text, next }) => (text.endsWith(next) ? 0.75 : 0.125),
    });
    await using policy = await createTestPolicy({ worker, planner: { maxSequences: 2 } });
    const [prompt, ab, abb, c] = await policy.tokenize(["1234", "ab", "abb", "c"]);
    const none = new Float32Array(0);
    const sequence = (tokenIds: Int32Array) => ({ tokenIds, advantages: none, weights: none });
    const groups = [
      { promptIds: prompt!, images: [], firstIndex: 0, sequences: [ab!, abb!, c!].map(sequence) },
      { promptIds: prompt!, images: [], firstIndex: 3, sequences: [abb!].map(sequence) },
    ];
    const found = await policy.candidates({ id: "x", groups }, Int32Array.from(Buffer.from("ab")), { temperature: 2 });
    const [likely, unlikely] = [Math.fround(Math.log(0.75)), Math.fround(Math.log(0.125))];
    // Behind "1234", behind "a", behind "ab"; candidates a and b.
    const rows = [[unlikely, unlikely], [likely, unlikely], [unlikely, likely]]; // prettier-ignore
    expect(found.map((group) => group.map((row) => [...row]))).toEqual([
      [rows.slice(0, 2).flat(), rows.flat(), rows[0]],
      [rows.flat()],
    ]);
    const calls = worker.calls.filter(({ method }) => method === "candidates");
    expect(calls.length).toBeGreaterThan(1);
    expect(calls[0]!.params).toMatchObject({ temperature: 2, policy_version: 0 });
  });

  it("have temperature 1 whatever the policy samples at", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker, settings: { temperature: 0.5 } });
    const [prompt] = await policy.tokenize(["a"]);
    const none = new Float32Array(0);
    const sequences = [{ tokenIds: prompt!, advantages: none, weights: none }];
    const groups = [{ promptIds: prompt!, images: [], firstIndex: 0, sequences }];
    await policy.candidates({ id: "x", groups }, Int32Array.of(1));
    expect(worker.calls.at(-1)!.params).toMatchObject({ temperature: 1 });
  });
});
