import { describe, expect, it } from "vitest";
import type { Reply, Tensor } from "../../src/bridge/index.js";
import { BridgeError } from "../../src/errors.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { methodsOf, withResult, withTensors } from "../support/fake-run.js";
import { createTestPolicy, testPicture, textRows } from "../support/policy.js";

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
    expect((await policy.encode(textRows.slice(0, 2))).length).toBe(2);
    const error = await policy.encode(textRows).catch((failure: unknown) => failure);
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
    await expect(policy.encode(textRows)).rejects.toMatchObject({ code: "WIRE_ROWS" });
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
    const groups = await policy.generate(await policy.encode(textRows), { samples: 2, step: 1 });
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
      await policy.generate(await policy.encode(textRows), { samples: 1, step, ...(stream && { stream }) });
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
    const own = { temperature: 0, topP: 0.5, minP: 0.1, repetitionPenalty: 2 };
    await policy.generate(prompts, { samples: 1, step: 1, attempt: 2, ...own });
    const asked = worker.calls.filter(({ method }) => method === "generate").map(({ params }) => params);
    const fixed = { policy_version: 0, images: [[]], max_new_tokens: 64, top_k: 5 };
    expect(asked).toEqual([
      { ...fixed, samples: 3, attempt: 0, temperature: 0.7, top_p: 1, min_p: 0, repetition_penalty: 1 },
      { ...fixed, samples: 1, attempt: 2, temperature: 0, top_p: 0.5, min_p: 0.1, repetition_penalty: 2 },
    ]);
  });

  it("counts progress on over the calls that a step takes", async () => {
    const worker = createFakeWorker({ complete: () => "xyz" });
    await using policy = await createTestPolicy({ worker, settings: { maxCompletionLength: 60_000 } });
    const seen: object[] = [];
    await policy.generate(await policy.encode(textRows), { samples: 1, step: 1, onProgress: (one) => seen.push(one) });
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
      const prompts = await policy.encode(textRows);
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
