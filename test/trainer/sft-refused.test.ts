import { describe, expect, it } from "vitest";
import { sft } from "../../src/index.js";
import type { SftConfigInput } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { makeSftRows } from "./sft-rows.js";

const { writeRows, letters, config } = await makeSftRows();

describe("what cannot be learnt from is refused", () => {
  const refused = async (input: SftConfigInput): Promise<{ code: string; message: string; started: boolean }> => {
    const worker = createFakeWorker();
    const error: unknown = await sft(input, { connect: worker.connect }).result.catch((caught: unknown) => caught);
    const { code, message } = error as { code: string; message: string };
    return { code, message, started: worker.calls.some(({ method }) => method === "load") };
  };

  it("rows without an answer, by line, before anything starts", async () => {
    const data = writeRows("unanswered", [
      { turns: [["human", "Why?"]] },
      {
        turns: [
          ["human", "Why?"],
          ["gpt", "So."],
        ],
      },
      {
        turns: [
          ["human", "Why?"],
          ["gpt", "So."],
          ["human", "But why?"],
        ],
      },
      {
        turns: [
          ["human", "Why?"],
          ["gpt", " "],
        ],
      },
    ]);
    const { code, message, started } = await refused(config("unanswered", data));
    expect([code, started]).toEqual(["DATA_FIELD", false]);
    expect(message).toMatch(/unanswered\.jsonl:1 .*with an answer at the end/);
    expect(message).toMatch(/unanswered\.jsonl:3 .*with an answer at the end/);
    expect(message).toMatch(/unanswered\.jsonl:4 .*the answer, a text that is not empty/);
    expect(message).not.toContain("unanswered.jsonl:2");
  });

  it("pictures that the questions do not mark, over all turns", async () => {
    const data = writeRows("marks", [
      {
        turns: [
          ["human", "One <image>."],
          ["gpt", "a"],
          ["human", "No more."],
          ["gpt", "b"],
        ],
        images: ["picture_0.png", "picture_1.png"],
      },
    ]);
    const { code, message, started } = await refused(config("marks", data));
    expect([code, started]).toEqual(["DATA_IMAGE_COUNT", false]);
    expect(message).toContain("the questions have 1 <image> and the row has 2 pictures");
  });

  it("an example that is too long, by its row", async () => {
    const { code, message } = await refused(config("long", letters(), { max_seq_length: 25 }));
    expect(code).toBe("DATA_EXAMPLE_TOO_LONG");
    expect(message).toMatch(
      /row 7, line 8 of data file 1, has an example of 17 prompt tokens and 9 answer tokens, 26 in all/,
    );
  });

  it("fewer rows than an update takes", async () => {
    const { code, message, started } = await refused(config("few", letters(), { gradient_accumulation_steps: 5 }));
    expect([code, started]).toEqual(["DATA_TOO_FEW_ROWS", false]);
    expect(message).toContain("2 x 5 = 10 rows");
  });

  it("settings that only reinforcement learning reads, all at once", async () => {
    const input = { ...config("foreign", letters()), beta: 0.04, num_generations: 6, reward_funcs: "format" };
    const { code, message, started } = await refused(input as SftConfigInput);
    expect([code, started]).toEqual(["CONFIG_OTHER_TASK", false]);
    for (const key of ["beta", "num_generations", "reward_funcs"])
      expect(message).toContain(`${key} cannot matter here`);
  });
});
