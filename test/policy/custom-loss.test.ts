import { describe, expect, it } from "vitest";
import type { CustomLoss, CustomLossInput } from "../../src/losses/index.js";
import { splitUpdates } from "../../src/policy/index.js";
import type { Policy, TrainBatch } from "../../src/policy/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { toTrainBatch } from "../../src/trainer/index.js";
import { methodsOf, withResult, withTensors } from "../support/fake-run.js";
import { createTestPolicy, textRows } from "../support/policy.js";
import type { TestRow } from "../support/policy.js";

/** Three groups of two completions. */
async function batchOf(policy: Policy<TestRow>): Promise<TrainBatch> {
  const groups = await policy.generate(await policy.encode(textRows), { samples: 2, step: 1 });
  const advantages = [
    [1, -1],
    [0.5, 0],
    [2, 1],
  ];
  return toTrainBatch(groups, advantages, { updates: 3 });
}

const tokensOf = (batch: TrainBatch): number =>
  batch.groups.flatMap(({ sequences }) => sequences).reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);

/** Every log-probability counts its place: -1 for the policy's first, -1001 for the reference's. */
function numbered(): Parameters<typeof createTestPolicy>[0] {
  const next = { policy: 0, reference: 1000 };
  let of: keyof typeof next = "policy";
  return {
    before(method, params) {
      if (method === "logprobs") of = params["of"] as keyof typeof next;
    },
    after(method, reply) {
      if (method !== "logprobs") return reply;
      const { length } = reply.tensors["logprobs"]!.data;
      const data = Float32Array.from({ length }, () => -(next[of] += 1));
      return withTensors(reply, { logprobs: { dtype: "f32", shape: [length], data } });
    },
  };
}

const zeros = ({ policy }: CustomLossInput): Float64Array => new Float64Array(policy.length);

describe("a custom loss", () => {
  it("sees the whole batch once, whatever the parts, and its derivative becomes the weights", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker, planner: { maxSequences: 2 }, ...numbered() });
    const batch = await batchOf(policy);
    const tokens = tokensOf(batch);
    const seen: CustomLossInput[] = [];
    const sums = await policy.forwardBackward(batch, async (input) => {
      seen.push(input);
      await Promise.resolve();
      return { loss: -2.5, derivative: input.policy.map((logprob) => logprob / 4) };
    });

    expect(seen.length).toBe(1);
    const { policy: now, old, advantages, weights, completions, groups, positions } = seen[0]!;
    expect([...now]).toEqual(Array.from({ length: tokens }, (_, index) => -1 - index));
    expect(old).toEqual(now);
    expect(old).not.toBe(now);
    const sequences = batch.groups.flatMap((group) => group.sequences);
    expect([...advantages]).toEqual(sequences.flatMap((one) => [...one.advantages]));
    expect([...weights]).toEqual(sequences.flatMap((one) => [...one.weights]));
    const lengths = sequences.map(({ tokenIds }) => tokenIds.length);
    expect([...completions]).toEqual([0, 1, 2, 3, 4, 5, 6].map((n) => lengths.slice(0, n).reduce((a, b) => a + b, 0)));
    expect([...groups]).toEqual([0, 2, 4, 6]);
    expect([...positions]).toEqual([0, 1, 2, 3, 4, 5]);

    const parts = worker.calls.filter(({ method }) => method === "forwardBackward");
    expect(parts.map(({ params }) => [params["part"], params["loss"]])).toEqual(
      [0, 1, 2].map((part) => [part, expect.objectContaining({ surrogate: "nll", beta: null, old: null }) as unknown]),
    );
    const sent = (name: string): number[] => parts.flatMap(({ tensors }) => [...(tensors[name]!.data as Float32Array)]);
    expect(sent("weights")).toEqual([...now].map((logprob) => logprob / 4));
    expect(sent("advantages")).toEqual(sequences.flatMap(({ tokenIds }) => Array<number>(tokenIds.length).fill(-1)));
    expect(sums).toMatchObject({ loss: -2.5, policyLoss: -2.5, kl: 0, tokens });
    expect(methodsOf(worker).slice(-6)).toEqual([...Array<string>(3).fill("logprobs"), ...Array<string>(3).fill("forwardBackward")]); // prettier-ignore
  });

  it("gets reference log-probabilities when it asks, computed once per rollout batch", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker, ...numbered() });
    const batch = await batchOf(policy);
    const seen: number[][] = [];
    const loss: CustomLoss = (input) => {
      seen.push([...input.reference]);
      return { loss: 0, derivative: zeros(input) };
    };
    for (const _ of [1, 2]) await policy.forwardBackward(batch, loss, { reference: true });
    expect(seen[0]).toEqual(Array.from({ length: tokensOf(batch) }, (_, index) => -1001 - index));
    expect(seen[1]).toEqual(seen[0]);
    const asked = worker.calls.filter(({ method }) => method === "logprobs").map(({ params }) => params["of"]);
    expect(asked).toEqual(["policy", "reference", "policy"]);
  });

  it("gets what was stored before the first update, also when the batch is cut into updates", async () => {
    await using policy = await createTestPolicy(numbered());
    const batch = await batchOf(policy);
    const kept = await policy.logprobs(batch, { store: true });
    const seen: { old: number[]; positions: number[] }[] = [];
    for (const update of splitUpdates(batch, 3)) {
      const loss: CustomLoss = (input) => {
        seen.push({ old: [...input.old], positions: [...input.positions] });
        expect([...input.policy]).not.toEqual([...input.old]);
        return { loss: 0, derivative: zeros(input) };
      };
      await policy.forwardBackward(update, loss, { old: "stored" });
      await policy.optimStep({ step: policy.version + 1, learningRate: 1 });
    }
    expect(seen.map(({ positions }) => positions)).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    expect(seen.map(({ old }) => old)).toEqual(kept.map((group) => group.flatMap((one) => [...one])));
  });

  it("forgets stored log-probabilities when another batch has come twice", async () => {
    await using policy = await createTestPolicy();
    const [first, second, third] = [await batchOf(policy), await batchOf(policy), await batchOf(policy)];
    for (const batch of [first, second, third]) await policy.logprobs(batch, { store: true });
    const loss: CustomLoss = (input) => ({ loss: 0, derivative: zeros(input) });
    await policy.forwardBackward(second, loss, { old: "stored" });
    await expect(policy.forwardBackward(first, loss, { old: "stored" })).rejects.toMatchObject({ code: "LOSS_NO_OLD" });
  });
});

describe("a custom loss that cannot be used is refused, and nothing is accumulated:", () => {
  const cases: readonly (readonly [string, string, RegExp, (input: CustomLossInput) => unknown])[] = [
    ["throws", "LOSS_FAILED", /the loss failed: no pairs/, () => Promise.reject(new Error("no pairs"))],
    ["returns nothing", "LOSS_RESULT", /must return \{ loss, derivative \}/, () => undefined],
    ["returns a list", "LOSS_RESULT", /a Float64Array/, ({ policy }) => ({ loss: 1, derivative: [...policy] })],
    [
      "returns too few values",
      "LOSS_LENGTH",
      /a derivative of 2 values for \d+ tokens/,
      () => ({ loss: 1, derivative: new Float64Array(2) }),
    ],
    ["is NaN", "LOSS_NOT_FINITE", /the loss is NaN/, (input) => ({ loss: Number.NaN, derivative: zeros(input) })],
    [
      "is infinite",
      "LOSS_NOT_FINITE",
      /the loss is -Infinity/,
      (input) => ({ loss: -1 / 0, derivative: zeros(input) }),
    ],
    [
      "has a derivative that is NaN",
      "LOSS_NOT_FINITE",
      /derivative is NaN for token 1 of completion 0 of group 2 /,
      (input) => ({ loss: 0, derivative: zeros(input).fill(Number.NaN, input.completions[4]! + 1) }),
    ],
    [
      "has a derivative beyond 32 bits",
      "LOSS_NOT_FINITE",
      /derivative is 1e\+40 for token 0 of completion 0 of group 0/,
      (input) => ({ loss: 0, derivative: zeros(input).fill(1e40) }),
    ],
    [
      "reads a reference that was not asked for",
      "LOSS_NO_REFERENCE",
      /`reference: true`/,
      ({ reference }) => reference,
    ],
  ];

  it.each(cases)("%s: %s", async (_, code, message, loss) => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker });
    const batch = await batchOf(policy);
    await policy.forwardBackward(batch, { surrogate: "nll" });
    const refused = policy.forwardBackward(batch, loss as CustomLoss);
    await expect(refused).rejects.toMatchObject({
      name: "LossError",
      code,
      message: expect.stringMatching(message) as string,
    });
    expect(methodsOf(worker).slice(-2)).toEqual(["logprobs", "discard"]);
    expect(await policy.optimStep({ step: 1, learningRate: 1 })).toMatchObject({ gradNorm: 0 });
  });

  it("asks for stored log-probabilities that are not there", async () => {
    await using policy = await createTestPolicy();
    const batch = await batchOf(policy);
    const loss: CustomLoss = (input) => ({ loss: 0, derivative: zeros(input) });
    await expect(policy.forwardBackward(batch, loss, { old: "stored" })).rejects.toMatchObject({ code: "LOSS_NO_OLD" });
    await policy.logprobs({ ...batch, groups: batch.groups.slice(1) }, { store: true });
    await expect(policy.forwardBackward(batch, loss, { old: "stored" })).rejects.toMatchObject({ code: "LOSS_NO_OLD" });
  });

  it("meets other tokens under the id of a batch that was stored", async () => {
    await using policy = await createTestPolicy();
    const batch = await batchOf(policy);
    await policy.logprobs(batch, { store: true });
    const [first, ...others] = batch.groups;
    const sequences = first!.sequences.map((one) => ({ ...one, tokenIds: one.tokenIds.map((id) => id ^ 1) }));
    const other = { id: batch.id, groups: [{ ...first!, sequences }, ...others] };
    const loss: CustomLoss = (input) => ({ loss: 0, derivative: zeros(input) });
    await expect(policy.forwardBackward(other, loss, { old: "stored" })).rejects.toMatchObject({
      code: "LOSS_OTHER_BATCH",
      message: expect.stringMatching(/^completion 0 of batch/) as string,
    });
  });

  it("is given to a model with dropout", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({
      worker,
      after: (method, reply) => (method === "load" ? withResult(reply, { dropout: 0.05 }) : reply),
    });
    const batch = await batchOf(policy);
    await expect(
      policy.forwardBackward(batch, (input) => ({ loss: 0, derivative: zeros(input) })),
    ).rejects.toMatchObject({ code: "LOSS_DROPOUT", message: expect.stringContaining("probability 0.05") as string });
    await policy.forwardBackward(batch, { surrogate: "clip" });
  });

  it("gives up with the signal's reason", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker });
    const controller = new AbortController();
    const refused = policy.forwardBackward(
      await batchOf(policy),
      async () => {
        controller.abort();
        controller.signal.throwIfAborted();
        throw new Error("never reached");
      },
      { signal: controller.signal },
    );
    await expect(refused).rejects.toMatchObject({ name: "AbortError" });
    expect(methodsOf(worker).slice(-2)).toEqual(["logprobs", "discard"]);
  });
});
