import { describe, expect, it } from "vitest";
import type { Prompt } from "../../src/policy/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker } from "../../src/testing/index.js";
import { createTestPolicy, testPicture } from "../support/policy.js";
import type { TestRow } from "../support/policy.js";

/** The calls of `images`: the keys announced, those that came with pixels, and the pins. */
function sent(worker: FakeWorker): unknown[] {
  return worker.calls
    .filter(({ method }) => method === "images")
    .map(({ params, tensors }) => {
      const images = params["images"] as readonly { readonly key: string }[];
      const pixels = images.filter((_, index) => tensors[String(index)] !== undefined);
      return [images.map(({ key }) => key), pixels.map(({ key }) => key), params["step"], params["release_before"]];
    });
}

describe("pictures", () => {
  it("are announced once each, and sent where the worker lacks them", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker });
    const [a, b, c] = [testPicture("a"), testPicture("b"), testPicture("c")];
    await policy.encode([
      { text: "1", pictures: [a, b] },
      { text: "2", pictures: [a] },
    ]);
    await policy.encode([{ text: "3", pictures: [b, c] }]);
    await policy.encode([{ text: "4", pictures: [a, b, c] }, { text: "no picture" }]);
    expect(sent(worker)).toEqual([
      [["a", "b"], [], null, null],
      [["a", "b"], ["a", "b"], null, null],
      [["b", "c"], [], null, null],
      [["c"], ["c"], null, null],
      [["a", "b", "c"], [], null, null],
    ]);
    expect([a.reads, b.reads, c.reads]).toEqual([1, 1, 1]);
  });

  it("are described with source and target size, and sent at source size", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker });
    const picture = { ...testPicture("a", 28 * 40), targetHeight: 56, targetWidth: 28 };
    await policy.encode([{ text: "1", pictures: [picture] }]);
    const [, { params, tensors }] = worker.calls.filter(({ method }) => method === "images") as [
      unknown,
      (typeof worker.calls)[0],
    ];
    expect(params["images"]).toEqual([
      { key: "a", hash: "hash of a", height: 40, width: 28, target_height: 56, target_width: 28 },
    ]);
    expect(tensors["0"]).toEqual({ dtype: "u8", shape: [40, 28, 3], data: new Uint8Array(40 * 28 * 3).fill(7) });
  });

  it("of a step are pinned, and those of the step before the last are let go", async () => {
    const worker = createFakeWorker({ pictures: 0 });
    await using policy = await createTestPolicy({ worker });
    const pictures = [1, 2, 3].map((step) => testPicture(`step ${step}`));
    const prompts: Prompt<TestRow>[][] = [];
    for (const [index, picture] of pictures.entries()) {
      prompts.push(await policy.encode([{ text: "x", pictures: [picture] }], { step: index + 1 }));
    }
    expect(sent(worker).map((call) => (call as unknown[]).slice(2))).toEqual([
      [1, 0],
      [1, null],
      [2, 1],
      [2, null],
      [3, 2],
      [3, null],
    ]);
    const generate = (step: number) => policy.generate(prompts[step - 1]!, { samples: 1, step });
    await expect(generate(1)).rejects.toMatchObject({ code: "MISSING_IMAGES" });
    await generate(2);
    await generate(3);
    // Asked for again, they are sent again.
    await policy.encode([{ text: "x", pictures: [pictures[0]!] }], { step: 4 });
    expect(pictures.map(({ reads }) => reads)).toEqual([2, 1, 1]);
    await generate(1);
  });

  it("travel in messages of at most 16 MiB, a larger one alone", async () => {
    const worker = createFakeWorker();
    await using policy = await createTestPolicy({ worker });
    const megabytes = (key: string, count: number) => testPicture(key, Math.floor((count * 2 ** 20) / 84) * 28);
    const pictures = [megabytes("a", 6), megabytes("b", 9), megabytes("c", 2), megabytes("d", 20), megabytes("e", 1)];
    await policy.encode([{ text: "x", pictures }]);
    expect(sent(worker).map((call) => (call as unknown[])[1])).toEqual([[], ["a", "b"], ["c"], ["d"], ["e"]]);
  });

  it("are shown to whoever asks while their pixels are at hand, in the order of the rows", async () => {
    await using policy = await createTestPolicy();
    const seen: string[] = [];
    const [a, b] = [testPicture("a"), testPicture("b")];
    await policy.encode(
      [
        { text: "1", pictures: [b, a] },
        { text: "2", pictures: [b] },
      ],
      {
        onPicture: ({ key }) => seen.push(key),
      },
    );
    expect(seen).toEqual(["b", "a", "b"]);
  });
});
