import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { combineRewards, overlongReward, scoreRewards } from "../../src/rewards/index.js";
import { readGolden } from "../golden/read.js";

interface Golden {
  overlong: { length: number; longest: number; cache: number; reward: number }[];
}

const completion = (length: number) => ({
  text: "",
  tokenIds: new Int32Array(length),
  finishReason: "stop" as const,
});

describe("overlongReward", () => {
  it.each(readGolden<Golden>("advantages").overlong)(
    "equals TRL's punishment: $length of $longest tokens, cache $cache",
    ({ length, longest, cache, reward }) => {
      const found = overlongReward(length, { maxCompletionLength: longest, overlongCache: cache });
      expect(found).toBeCloseTo(reward, 12);
    },
  );

  it("never rises with the length, and lies between -1 and 0", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.nat(400),
        fc.integer({ min: 1, max: 300 }),
        (longest, at, cache) => {
          const options = { maxCompletionLength: longest, overlongCache: Math.min(cache, longest) };
          const [here, next] = [overlongReward(at, options), overlongReward(at + 1, options)];
          expect(next).toBeLessThanOrEqual(here);
          expect(here).toBeGreaterThanOrEqual(-1);
          expect(here).toBeLessThanOrEqual(0);
        },
      ),
    );
  });

  it("begins a fifth before the longest length where nothing else is said", () => {
    const options = { maxCompletionLength: 50 };
    expect([40, 41, 45, 50].map((length) => overlongReward(length, options))).toEqual([-0, -0.1, -0.5, -1]);
  });

  it("refuses what it cannot compare with", () => {
    expect(() => overlongReward(1, {})).toThrow(
      expect.objectContaining({ code: "CONFIG_MAX_COMPLETION_LENGTH" }) as Error,
    );
    for (const overlongCache of [0, 11, Number.NaN]) {
      expect(() => overlongReward(1, { maxCompletionLength: 10, overlongCache })).toThrow(
        expect.objectContaining({ code: "CONFIG_OVERLONG_CACHE" }) as Error,
      );
    }
  });
});

describe("the reward overlong", () => {
  it("counts tokens as sampled and joins the total with its weight", async () => {
    const rewards = combineRewards({ overlong: 0.5 }, { maxCompletionLength: 10, overlongCache: 5 });
    const groups = [{ prompt: { row: {} }, completions: [4, 6, 10].map(completion) }];
    const scored = await scoreRewards(groups, rewards);
    expect(scored.breakdown["overlong"]![0]).toEqual([-0, -0.2, -1]);
    expect(scored.totals[0]!.map((total) => total! + 0)).toEqual([0, -0.1, -0.5]);
  });
});
