import { describe, expect, it } from "vitest";
import { ATTACHMENT_LIMITS, defineReward, scoreRewards } from "../../src/rewards/index.js";
import type { RewardGroup, RewardVerdict } from "../../src/rewards/index.js";

const two: RewardGroup[] = ["a", "b"].map((id) => ({
  prompt: { row: { id } },
  completions: ["x", "yy"].map((text) => ({ text, tokenIds: [1], finishReason: "stop" })),
}));
const dot = { data: new Uint8Array([255, 0, 0]), width: 1, height: 1 };

describe("a verdict", () => {
  it("gives its value, and its columns and images to the record", async () => {
    const long = defineReward({
      name: "long",
      score: ({ completion: { text } }) =>
        text.length < 2 ? 0 : { value: 1, columns: { letters: text.length, why: "long" }, images: { dot } },
    });
    const plain = defineReward({ name: "plain", score: () => ({ value: null }) });
    const scored = await scoreRewards(two, [long, plain]);
    expect(scored.breakdown).toEqual({
      long: [
        [0, 1],
        [0, 1],
      ],
      plain: [
        [null, null],
        [null, null],
      ],
    });
    const attached = { columns: { letters: 2, why: "long" }, images: { dot } };
    expect(scored.attachments).toEqual({
      long: [
        [null, attached],
        [null, attached],
      ],
    });
  });

  it("may be given in every scope", async () => {
    const group = defineReward({
      name: "group",
      scoreGroup: ({ completions }) => completions.map(({ index }) => ({ value: index, columns: { index } })),
    });
    const batch = defineReward({
      name: "batch",
      scoreBatch: async ({ groups }) => groups.map(({ completions }) => completions.map(() => ({ value: 1 }))),
    });
    const scored = await scoreRewards(two, [group, batch]);
    expect(scored.totals).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(scored.attachments["group"]![1]).toEqual([{ columns: { index: 0 } }, { columns: { index: 1 } }]);
    expect(scored.attachments).not.toHaveProperty("batch");
  });

  it.each<[string, Partial<RewardVerdict>, RegExp]>([
    ["too many columns", { columns: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`c${i}`, i])) }, /33 col/],
    ["a name with a space", { columns: { "a b": 1 } }, /something named "a b"/],
    ["a number that is none", { columns: { x: Infinity } }, /a column "x" that is Infinity; a number must be finite/],
    ["an object", { columns: { x: {} as never } }, /a column "x" that is of type object/],
    ["an endless text", { columns: { x: "a".repeat(ATTACHMENT_LIMITS.text + 1) } }, /10001 characters long/],
    ["too many images", { images: { a: dot, b: dot, c: dot, d: dot, e: dot } }, /5 images; at most 4/],
    ["too few bytes", { images: { x: { ...dot, width: 2 } } }, /an image "x" with 3 bytes for 2 x 1 pixels/],
    ["no pixels", { images: { x: { data: [1] } as never } }, /an image "x" without pixels/],
    ["a wall", { images: { x: { data: new Uint8Array(3 * 2049 * 2048), width: 2049, height: 2048 } } }, /2049 x 2048/],
    ["columns in a list", { columns: [1] as never }, /columns that are no record/],
  ])("with %s is refused where it was given", async (_, attachment, wording) => {
    const odd = defineReward({
      name: "odd",
      score: ({ completion, row }) => ({ value: 1, ...(row["id"] === "b" && completion.index === 1 && attachment) }),
    });
    await expect(scoreRewards(two, [odd], { step: 3 })).rejects.toMatchObject({
      name: "RewardError",
      code: "REWARD_ATTACHMENT",
      message: expect.stringMatching(wording) as string,
      fields: { reward: "odd", step: 3, row: "b", sample: 1 },
    });
  });

  it("without a number for a value is refused as any other", async () => {
    const odd = defineReward({ name: "odd", score: () => ({ value: Number.NaN }) });
    await expect(scoreRewards(two, [odd])).rejects.toMatchObject({ code: "REWARD_NOT_A_NUMBER" });
  });

  it("cannot fill the disk in one step", async () => {
    const wall = { data: new Uint8Array(3 * 2048 * 2048), width: 2048, height: 2048 };
    const completions = Array.from({ length: 8 }, () => two[0]!.completions[0]!);
    const heavy = defineReward({ name: "heavy", score: () => ({ value: 1, images: { a: wall, b: wall, c: wall } }) });
    await expect(scoreRewards([{ ...two[0]!, completions }], [heavy])).rejects.toThrow(
      /attached pictures of 301989888 bytes to one step; at most 268435456 are kept/,
    );
  });
});
