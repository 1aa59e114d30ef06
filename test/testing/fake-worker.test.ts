import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { foldKey, uniform } from "../../src/stats/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakePrompt } from "../../src/testing/index.js";
import { toTrainBatch } from "../../src/trainer/index.js";
import { createTestPolicy, testPicture } from "../support/policy.js";

describe("a fake worker", () => {
  it("completes what its script says, from the prompt's text, the sample, the draw and the version", async () => {
    const seen: FakePrompt[] = [];
    const worker = createFakeWorker({
      complete(prompt) {
        seen.push(prompt);
        return "done";
      },
    });
    await using policy = await createTestPolicy({ worker });
    const prompts = await policy.encode([{ text: "hello", pictures: [testPicture("a")] }]);
    await policy.generate(prompts, { samples: 2, step: 3 });
    const key = worker.calls.at(-1)!.tensors["keys"]!.data[0] as bigint;
    const draws = [0, 1].map((sample) => uniform(foldKey(BigInt.asUintN(64, key), sample, 0, 0)));
    expect(seen).toEqual([
      { text: "hello", sample: 0, draw: draws[0], version: 0, temperature: 1 },
      { text: "hello", sample: 1, draw: draws[1], version: 0, temperature: 1 },
    ]);
    await policy.generate(prompts, { samples: 1, step: 3, temperature: 0 });
    expect(seen[2]).toMatchObject({ draw: 0.5, temperature: 0 });
  });

  it("answers with a well-formed score by default, which follows the draw", async () => {
    await using policy = await createTestPolicy();
    const [group] = await policy.generate(await policy.encode([{ text: "a" }]), { samples: 50, step: 1 });
    const scores = group!.completions.map(({ text }) =>
      Number(/^<think>fine<\/think><answer>(\d\.\d\d)<\/answer>$/.exec(text)![1]),
    );
    expect(Math.min(...scores)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...scores)).toBeLessThanOrEqual(5);
    expect(new Set(scores).size).toBeGreaterThan(30);
  });

  it("records every call with its parameters and tensors, over all connections, and counts those open", async () => {
    const worker = createFakeWorker();
    {
      await using _first = await createTestPolicy({ worker });
      await using second = await createTestPolicy({ worker });
      expect(worker.open).toBe(2);
      await second.tokenize(["ab"]);
    }
    expect(worker.open).toBe(0);
    expect(worker.calls.map(({ method }) => method)).toEqual(["load", "load", "tokenize"]);
    expect(worker.calls[2]).toMatchObject({
      params: { append_eos: false },
      tensors: { text: { dtype: "u8", shape: [2] } },
    });
  });

  it("starts each connection with fresh weights, and takes saved ones back", async () => {
    const worker = createFakeWorker();
    const folder = mkdtempSync(join(tmpdir(), "thurstone-fake-"));
    const saved = await (async () => {
      await using policy = await createTestPolicy({ worker });
      await policy.optimStep({ step: 1, learningRate: 1 });
      expect(policy.version).toBe(1);
      return await policy.save(folder);
    })();
    expect(saved).toEqual([
      { name: "state.json", bytes: 24, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
    ]);
    await using policy = await createTestPolicy({ worker });
    expect(policy.version).toBe(0);
    await policy.restore(folder);
    expect(policy.version).toBe(1);
    rmSync(folder, { recursive: true });
  });

  it("refuses what a real worker refuses", async () => {
    await using policy = await createTestPolicy();
    const prompts = await policy.encode([{ text: "a", pictures: [testPicture("a")] }]);
    const unknown = prompts.map((prompt) => ({ ...prompt, images: [{ key: "b", height: 28, width: 28 }] }));
    await expect(policy.generate(unknown, { samples: 1, step: 1 })).rejects.toMatchObject({ code: "MISSING_IMAGES" });

    const groups = await policy.generate(prompts, { samples: 2, step: 1 });
    const batch = toTrainBatch(groups, [[1, -1]]);
    const stored = policy.forwardBackward(batch, { surrogate: "clip", old: "stored" });
    await expect(stored).rejects.toMatchObject({ code: "OLD_LOGPROBS_MISSING" });
    await policy.logprobs(batch, { store: true });
    await policy.forwardBackward(batch, { surrogate: "clip", old: "stored" });
  });
});
