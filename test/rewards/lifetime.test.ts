/**
 * Rewards that hold something: what is said when one cannot be opened.
 *
 * @module
 */
import { expect, it, vi } from "vitest";
import { RewardError } from "../../src/errors.js";
import { closeRewards, combineRewards, defineReward, openRewards } from "../../src/rewards/index.js";
import type { Reward } from "../../src/rewards/index.js";

type Lifetime = Readonly<Partial<Record<"open" | "close", () => Promise<void>>>>;

function holding(name: string, lifetime: Lifetime): Reward {
  return defineReward({ name, score: () => 1, ...lifetime });
}

/** What is thrown when the reward "judge" cannot be opened for the given reason. */
async function refusal(reason: unknown): Promise<RewardError> {
  const open = (): Promise<void> => Promise.reject(reason as Error);
  const error: unknown = await openRewards(combineRewards([holding("judge", { open })])).catch(
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(RewardError);
  return error as RewardError;
}

it("names the reward, and says what was thrown with one full stop", async () => {
  expect(await refusal(new Error("no judge in town."))).toMatchObject({
    code: "REWARD_THREW",
    message: 'the reward "judge" threw: no judge in town.',
    fields: { reward: "judge" },
  });
});

it("keeps code and fields of a reward's own error, also of another copy of the package", async () => {
  vi.resetModules();
  const copy = await import("../../src/errors.js");
  expect(copy.RewardError).not.toBe(RewardError);
  for (const Kind of [RewardError, copy.RewardError]) {
    const cause = new Kind("JUDGE_AWAY", "the judge is away.", { fields: { until: "noon" } });
    const error = await refusal(cause);
    expect(error).toMatchObject({
      code: "JUDGE_AWAY",
      message: 'the reward "judge" failed: the judge is away.',
      fields: { reward: "judge", until: "noon" },
    });
    expect(error.cause).toBe(cause);
  }
});

it("closes what was opened when another cannot be", async () => {
  const said: string[] = [];
  const first = holding("first", {
    open: async () => void said.push("opened"),
    close: async () => void said.push("closed"),
  });
  const second = holding("second", { open: () => Promise.reject(new Error("no")) });
  await expect(openRewards(combineRewards([first, second]))).rejects.toThrow('the reward "second" threw: no.');
  expect(said).toEqual(["opened", "closed"]);
  await closeRewards(combineRewards([first]));
  expect(said).toEqual(["opened", "closed", "closed"]);
});
