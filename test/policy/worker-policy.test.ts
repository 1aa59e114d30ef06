import { describe, expect, it } from "vitest";
import type { Reply, Tensor } from "../../src/bridge/index.js";
import { BridgeError, WorkerError } from "../../src/errors.js";
import type { TrainBatch } from "../../src/policy/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { toTrainBatch } from "../../src/trainer/index.js";
import { methodsOf, withResult } from "../support/fake-run.js";
import { createTestPolicy, testPicture } from "../support/policy.js";
import type { TestRow } from "../support/policy.js";

const ROWS: TestRow[] = [{ text: "one" }, { text: "second" }, { text: "third row" }];
const withTensors = (reply: Reply, tensors: Record<string, Tensor>): Reply => ({
  ...reply,
  tensors: { ...reply.tensors, ...tensors },
});
const ints = (...values: number[]): Tensor => ({ dtype: "i32", shape: [values.length], data: Int32Array.from(values) });

describe("encode", () => {
  it("gives each row its ids, its place and its pictures", async () => {
    await using policy = await createTestPolicy();
    const prompts = await policy.encode([{ text: "ab", pictures: [testPicture("k")] }, { text: "\u00e9" }]);
    expect(prompts).toEqual([
      {
        row: expect.objectContaining({ text: "ab" }) as unknown,
        tokenIds: new Int32Array([257, 97, 98]),
        images: [{ key: "k", height: 28, width: 28 }],
        source: { file: 0, line: 1 },
      },
      { row: { text: "\u00e9" }, tokenIds: new Int32Array([0xc3, 0xa9]), images: [], source: { file: 0, line: 2 } },
    ]);
  });

  it("refuses a prompt that is longer than allowed, and never cuts it", async () => {
    await using policy = await createTestPolicy({ settings: { maxPromptLength: 6 } });
    expect((await policy.encode(ROWS.slice(0, 2))).length).toBe(2);
    const error = await policy.encode(ROWS).catch((failure: unknown) => failure);
    expect(error).toMatchObject({
      name: "WorkerError",
      code: "PROMPT_TOO_LONG",
      message: expect.stringContaining("line 3 of data file 1 has 9 tokens, max_prompt_length is 6") as string,
    });
  });

  it("refuses token ids of another number of texts", async () => {
    await using policy = await createTestPolicy({
      after: (method, reply) =>
        method === "encode" || method === "tokenize" ? withTensors(reply, { lengths: ints(3, 15) }) : reply,
    });
    await expect(policy.encode(ROWS)).rejects.toMatchObject({ code: "WIRE_ROWS" });
    await expect(policy.tokenize(["one", "second", "third row"])).rejects.toMatchObject({ code: "WIRE_ROWS" });
  });
});

describe("tokenize", () => {
  it("gives ids of each text, with the end of the turn on request", async () => {
    await using policy = await createTestPolicy();
    expect(await policy.tokenize(["a", "", "bc"])).toEqual([
      new Int32Array([97]),
      new Int32Array(0),
      new Int32Array([98, 99]),
    ]);
    expect(await policy.tokenize(["a", ""], { appendEos: true })).toEqual([
      new Int32Array([97, 256]),
      new Int32Array([256]),
    ]);
  });
});

describe("generate", () => {
  it("groups completions under their prompts, in order", async () => {
    const worker = createFakeWorker({ complete: ({ text, sample }) => `${text} ${sample}` });
    await using policy = await createTestPolicy({ worker });
    const groups = await policy.generate(await policy.encode(ROWS), { samples: 2, step: 1 });
    expect(groups.map(({ prompt, completions }) => [prompt.row.text, completions.map(({ text }) => text)])).toEqual([
      ["one", ["one 0", "one 1"]],
      ["second", ["second 0", "second 1"]],
      ["third row", ["third row 0", "third row 1"]],
    ]);
    expect(groups[0]!.completions[1]).toEqual({
      text: "one 1",
      tokenIds: Int32Array.from([...Buffer.from("one 1"), 256]),
      logprobs: new Float32Array(6).fill(-1),
      finishReason: "stop",
    });
  });

  it("draws anew for another seed, step, stream or line, and the same again otherwise", async () => {
    const keysOf = async (seed: number, step: number, stream?: "train" | "eval"): Promise<bigint[]> => {
      const worker = createFakeWorker();
      await using policy = await createTestPolicy({ worker, settings: { seed } });
      await policy.generate(await policy.encode(ROWS), { samples: 1, step, ...(stream && { stream }) });
      const call = worker.calls.find(({ method }) => method === "generate");
      return Array.from(call!.tensors["keys"]!.data as BigInt64Array);
    };
    const first = await keysOf(1, 1);
    expect(await keysOf(1, 1, "train")).toEqual(first);
    const all = [...first, ...(await keysOf(2, 1)), ...(await keysOf(1, 2)), ...(await keysOf(1, 1, "eval"))];
    expect(new Set(all).size).toBe(12);
  });

  it("cuts at the limit and says so", async () => {
    await using policy = await createTestPolicy({ worker: createFakeWorker({ complete: () => "\u00e9\u00e9\u00e9" }) });
    const [group] = await policy.generate(await policy.encode([{ text: "a" }]), {
      samples: 1,
      step: 1,
      maxCompletionLength: 3,
    });
    const [completion] = group!.completions;
    expect(completion).toMatchObject({ text: "\u00e9\ufffd", finishReason: "length" });
    expect(completion!.tokenIds.length).toBe(3);
  });

  it("passes settings on, and lets a call override them", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker, settings: { topK: 5, temperature: 0.7 } });
    const prompts = await policy.encode([{ text: "a" }]);
    await policy.generate(prompts, { samples: 3, step: 1 });
    await policy.generate(prompts, { samples: 1, step: 1, temperature: 0, topP: 0.5, minP: 0.1, repetitionPenalty: 2 });
    const asked = worker.calls.filter(({ method }) => method === "generate").map(({ params }) => params);
    const fixed = { policy_version: 0, images: [[]], max_new_tokens: 64 };
    expect(asked).toEqual([
      { ...fixed, samples: 3, temperature: 0.7, top_p: 1, top_k: 5, min_p: 0, repetition_penalty: 1 },
      { ...fixed, samples: 1, temperature: 0, top_p: 0.5, top_k: 5, min_p: 0.1, repetition_penalty: 2 },
    ]);
  });

  it("counts progress on over the calls that a step takes", async () => {
    const worker = createFakeWorker({ complete: () => "xyz" });
    await using policy = await createTestPolicy({ worker, settings: { maxCompletionLength: 60_000 } });
    const seen: object[] = [];
    await policy.generate(await policy.encode(ROWS), { samples: 1, step: 1, onProgress: (one) => seen.push(one) });
    expect(methodsOf(worker)).toEqual(["load", "generate", "generate"]);
    expect(seen).toEqual([
      { tokens: 8, finished: 2 },
      { tokens: 12, finished: 3 },
    ]);
  });

  it("keeps a byte order mark at the beginning of a text", async () => {
    await using policy = await createTestPolicy({ worker: createFakeWorker({ complete: () => "\ufeffhi" }) });
    const [group] = await policy.generate(await policy.encode([{ text: "a" }]), { samples: 1, step: 1 });
    expect(group!.completions[0]!.text).toBe("\ufeffhi");
  });

  it.each<[string, Record<string, Tensor>, string]>([
    ["lengths that do not add up", { lengths: ints(4, 5) }, "WIRE_RAGGED"],
    ["a negative length", { lengths: ints(9, -1) }, "WIRE_RAGGED"],
    [
      "fewer log-probabilities than tokens",
      { logprobs: { dtype: "f32", shape: [1], data: new Float32Array(1) } },
      "WIRE_RAGGED",
    ],
    ["one text too few", { text_lengths: ints(6) }, "WIRE_RAGGED"],
    ["one finish code too many", { finish: { dtype: "u8", shape: [3], data: new Uint8Array(3) } }, "WIRE_RAGGED"],
    ["an unknown finish code", { finish: { dtype: "u8", shape: [2], data: new Uint8Array([0, 3]) } }, "WIRE_FINISH"],
    ["tokens of another type", { tokens: { dtype: "i64", shape: [8], data: new BigInt64Array(8) } }, "WIRE_TENSOR"],
    [
      "a text that is not UTF-8",
      { text: { dtype: "u8", shape: [6], data: new Uint8Array(6).fill(0xff) } },
      "WIRE_TEXT",
    ],
  ])("refuses a reply with %s", async (_, tensors, code) => {
    await using policy = await createTestPolicy({
      worker: createFakeWorker({ complete: () => "abc" }),
      after: (method, reply) => (method === "generate" ? withTensors(reply, tensors) : reply),
    });
    const prompts = await policy.encode([{ text: "a" }]);
    const error = await policy.generate(prompts, { samples: 2, step: 1 }).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(BridgeError);
    expect(error).toMatchObject({ code });
  });

  it("refuses a reply with another number of rows, or without a tensor, or without a field", async () => {
    const ask = async (after: (method: string, reply: Reply) => Reply): Promise<unknown> => {
      await using policy = await createTestPolicy({ after });
      const prompts = await policy.encode(ROWS);
      return await policy.generate(prompts, { samples: 2, step: 1 }).catch((failure: unknown) => failure);
    };
    const empty = (dtype: "i32" | "f32" | "u8"): Tensor => ({
      dtype,
      shape: [0],
      data: dtype === "f32" ? new Float32Array(0) : dtype === "i32" ? new Int32Array(0) : new Uint8Array(0),
    });
    const none = { tokens: empty("i32"), lengths: empty("i32"), logprobs: empty("f32"), finish: empty("u8") };
    const nothing = { ...none, text: empty("u8"), text_lengths: empty("i32") };
    expect(await ask((method, reply) => (method === "generate" ? withTensors(reply, nothing) : reply))).toMatchObject({
      code: "WIRE_ROWS",
      message: "3 prompts x 2 samples were asked for; the worker returned 0 rows.",
    });
    expect(await ask((method, reply) => (method === "generate" ? { ...reply, tensors: {} } : reply))).toMatchObject({
      code: "WIRE_TENSOR",
    });
    expect(await ask((method, reply) => (method === "generate" ? { ...reply, result: {} } : reply))).toMatchObject({
      code: "WIRE_REPLY",
      message: expect.stringContaining("policy_version") as string,
    });
  });
});

/** A batch of three groups of two completions. */
async function batchOf(policy: Awaited<ReturnType<typeof createTestPolicy>>): Promise<TrainBatch> {
  const groups = await policy.generate(await policy.encode(ROWS), { samples: 2, step: 1 });
  return toTrainBatch(groups, [
    [1, -1],
    [0.5, 0],
    [2, 1],
  ]);
}

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
    // The fake's loss is -sum w A, and every completion weighs 1/6.
    expect(sums.loss).toBeCloseTo(-(1 - 1 + 0.5 + 0 + 2 + 1) / 6, 6);
    expect(sums).toMatchObject({ sequences: 6, tokens: sums.entropy });

    const update = await policy.optimStep({ step: 1, learningRate: 0.1 });
    expect(update).toEqual({ gradNorm: expect.closeTo(3.5 / 6, 6) as number, skipped: false });
    expect(worker.calls.at(-1)!.params).toMatchObject({ step: 1, parts: 6, learning_rate: 0.1, max_grad_norm: 1 });
    expect(policy.version).toBe(1);
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
        if (method === "forwardBackward" && ++sent === 2) throw new WorkerError("OUT_OF_MEMORY", "no room");
      },
    });
    const batch = await batchOf(policy);
    await expect(policy.forwardBackward(batch, { surrogate: "clip" })).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
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
    const prompts = await policy.encode(ROWS);
    const update = { policy_version: 0, step: 1, parts: 0, learning_rate: 1, max_grad_norm: null };
    await connection.caller.call("optimStep", update);
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

describe("usage", () => {
  it("counts the bytes of tensors both ways, and the seconds the worker reports", async () => {
    await using policy = await createTestPolicy({
      worker: createFakeWorker({ complete: () => "abc" }),
      after(method, reply) {
        if (method === "generate") return withResult(reply, { seconds: { prefill: 0.5, decode: 1.5 } });
        return method === "encode" ? withResult(reply, { seconds: 0.25 }) : reply;
      },
    });
    const picture = testPicture("k");
    const prompts = await policy.encode([{ text: "a", pictures: [picture] }]);
    // Sent: the pixels. Received: 2 ids and 1 length.
    expect(policy.usage()).toMatchObject({ bytesSent: 28 * 28 * 3, bytesReceived: 12, workerSeconds: 0.25 });
    await policy.generate(prompts, { samples: 1, step: 1 });
    // Sent: 2 ids, 1 length, 1 key. Received: 4 tokens, 1 length, 4 log-probabilities, 3 bytes, 1 length, 1 finish code.
    const { bytesSent, bytesReceived, workerSeconds, busySeconds, modelSeconds } = policy.usage();
    expect([bytesSent - 28 * 28 * 3, bytesReceived - 12, workerSeconds]).toEqual([20, 16 + 4 + 16 + 3 + 4 + 1, 2.25]);
    expect(modelSeconds).toBeLessThan(busySeconds);
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
