import { setTimeout as nodeTimeout } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RewardError } from "../../src/errors.js";
import { combineRewards, defineReward, scoreRewards } from "../../src/rewards/index.js";
import type { RewardCalls, RewardDefinition, RewardGroup, ScoreRewardsOptions } from "../../src/rewards/index.js";
import type { z } from "zod";
import { failureOf } from "./failure-of.js";

/** `prompts` prompts with `samples` completions each; row and text say which. */
function step(prompts: number, samples: number): RewardGroup[] {
  return Array.from({ length: prompts }, (_, prompt) => ({
    prompt: { row: { id: `r${prompt}` } },
    completions: Array.from({ length: samples }, (__, sample) => ({
      text: `${prompt}.${sample}`,
      tokenIds: [1],
      finishReason: "stop" as const,
    })),
  }));
}

/** Time that passes when everybody waits for it, and the moments at which somebody did. */
function virtualClock(): { sleep: NonNullable<ScoreRewardsOptions["sleep"]>; slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    sleep: (milliseconds, signal) =>
      new Promise((resolve, reject) => {
        slept.push(milliseconds);
        // Longer than anything here that ends by itself takes in macrotasks.
        void nodeTimeout(20).then(resolve);
        signal.addEventListener("abort", () => reject(new Error("given up")), { once: true });
      }),
  };
}

type Score = NonNullable<RewardDefinition<z.ZodType<Readonly<Record<string, unknown>>>>["score"]>;

const judge = (calls: RewardCalls, score: Score) => [defineReward({ name: "judge", ...calls, score })];

describe("concurrency", () => {
  it("lets that many calls wait at a time, and keeps the order of the results", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 }), async (concurrency, prompts) => {
        let running = 0;
        let most = 0;
        const rewards = judge({ concurrency }, async ({ completion }) => {
          running += 1;
          most = Math.max(most, running);
          await new Promise(setImmediate);
          running -= 1;
          return Number(completion.text);
        });
        const { totals } = await scoreRewards(step(prompts, 3), rewards);
        expect(most).toBe(Math.min(concurrency, prompts * 3));
        expect(totals).toEqual(Array.from({ length: prompts }, (_, p) => [p, p + 0.1, p + 0.2]));
      }),
      { numRuns: 20 },
    );
  });

  it("starts no more calls after one has failed", async () => {
    const seen: string[] = [];
    const rewards = judge({ concurrency: 1 }, async ({ completion }) => {
      seen.push(completion.text);
      await Promise.resolve();
      throw new Error("no");
    });
    await failureOf(scoreRewards(step(3, 3), rewards));
    await new Promise(setImmediate);
    expect(seen).toEqual(["0.0"]);
  });
});

describe("a time limit", () => {
  it("ends a call that hangs with an error that says where, and aborts its signal", async () => {
    let told: AbortSignal | undefined;
    const rewards = judge({ timeoutMs: 1500 }, ({ signal, completion }) => {
      if (completion.text !== "1.1") return 1;
      told = signal;
      return new Promise<number>(() => undefined);
    });
    const { sleep, slept } = virtualClock();
    const error = await failureOf(scoreRewards(step(2, 2), rewards, { step: 9, sleep }));
    expect(error.code).toBe("REWARD_TIMEOUT");
    expect(error.message).toBe(
      'the reward "judge" gave no answer within 1.5 s; raise its timeoutMs if it needs longer (step 9, row r1, sample 1).',
    );
    expect(error.fields).toEqual({ reward: "judge", step: 9, row: "r1", sample: 1 });
    expect(slept).toEqual([1500]);
    expect(told?.aborted).toBe(true);
  });

  it("is ten minutes unless it is given, and null waits as long as it takes", async () => {
    const { sleep, slept } = virtualClock();
    const slow: Score = async () => (await new Promise(setImmediate), 1);
    await scoreRewards(step(1, 1), judge({}, slow), { sleep });
    await scoreRewards(step(1, 1), judge({ timeoutMs: null }, slow), { sleep });
    expect(slept).toEqual([600_000]);
  });

  it("holds with Node's own timers as well", async () => {
    const rewards = judge({ timeoutMs: 5 }, () => new Promise<number>(() => undefined));
    expect((await failureOf(scoreRewards(step(1, 1), rewards))).code).toBe("REWARD_TIMEOUT");
  });

  it("covers all three scopes", async () => {
    const forever = () => new Promise<never>(() => undefined);
    const { sleep } = virtualClock();
    const group = defineReward({ name: "group", scoreGroup: forever });
    const batch = defineReward({ name: "batch", scoreBatch: forever });
    expect((await failureOf(scoreRewards(step(2, 1), [group], { sleep }))).fields).toMatchObject({ row: "r0" });
    expect((await failureOf(scoreRewards(step(2, 1), [batch], { sleep }))).code).toBe("REWARD_TIMEOUT");
  });
});

describe("retries", () => {
  it("try again after growing pauses, and count for nothing once one succeeds", async () => {
    const { sleep, slept } = virtualClock();
    let tries = 0;
    const rewards = judge({ retries: 3, backoffMs: 100, timeoutMs: null }, () => {
      tries += 1;
      if (tries < 4) throw new Error(`try ${tries}`);
      return 7;
    });
    expect((await scoreRewards(step(1, 1), rewards, { sleep })).totals).toEqual([[7]]);
    expect(slept).toEqual([100, 200, 400]);
  });

  it("never pause longer than a minute", async () => {
    const { sleep, slept } = virtualClock();
    const rewards = judge({ retries: 3, backoffMs: 25_000, timeoutMs: null }, () => Promise.reject(new Error("no")));
    await failureOf(scoreRewards(step(1, 1), rewards, { sleep }));
    expect(slept).toEqual([25_000, 50_000, 60_000]);
  });

  it("end with the last error and the number of tries", async () => {
    const { sleep } = virtualClock();
    let tries = 0;
    const rewards = judge({ retries: 2 }, () => Promise.reject(new Error(`try ${(tries += 1)}`)));
    expect((await failureOf(scoreRewards(step(1, 1), rewards, { sleep }))).message).toBe(
      'the reward "judge" threw in each of 3 tries, at last: try 3 (row r0, sample 0).',
    );
    const hanging = judge({ retries: 1, timeoutMs: 1000 }, () => new Promise<number>(() => undefined));
    expect((await failureOf(scoreRewards(step(1, 1), hanging, { sleep }))).message).toContain(
      "gave no answer within 1 s in each of 2 tries",
    );
  });

  it("are made only where retryOn sees sense in them", async () => {
    const { sleep, slept } = virtualClock();
    const asked: unknown[] = [];
    const cause = new Error("for good");
    const retryOn = (error: unknown): boolean => (asked.push(error), false);
    const rewards = judge({ retries: 5, retryOn, timeoutMs: null }, () => Promise.reject(cause));
    expect((await failureOf(scoreRewards(step(1, 1), rewards, { sleep }))).cause).toBe(cause);
    expect([asked, slept]).toEqual([[cause], []]);
  });

  it("are not made for what is no number", async () => {
    let tries = 0;
    const rewards = judge({ retries: 2 }, () => ((tries += 1), Number.NaN));
    expect((await failureOf(scoreRewards(step(1, 1), rewards))).code).toBe("REWARD_NOT_A_NUMBER");
    expect(tries).toBe(1);
  });

  it("stop when the run is given up during a pause", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    let tries = 0;
    const rewards = judge({ retries: 9, backoffMs: 60_000 }, () => {
      tries += 1;
      setImmediate(() => controller.abort(reason));
      throw new Error("no");
    });
    await expect(scoreRewards(step(1, 1), rewards, { signal: controller.signal })).rejects.toBe(reason);
    expect(tries).toBe(1);
  });
});

describe("an error the reward gives a code", () => {
  it("keeps it, and is told where it happened", async () => {
    const own = new RewardError("REWARD_HTTP_STATUS", "the server answered 404.", { fields: { status: 404 } });
    const error = await failureOf(
      scoreRewards(
        step(1, 1),
        judge({}, () => Promise.reject(own)),
        { step: 2 },
      ),
    );
    expect(error.code).toBe("REWARD_HTTP_STATUS");
    expect(error.message).toBe('the reward "judge" failed: the server answered 404 (step 2, row r0, sample 0).');
    expect(error.fields).toEqual({ status: 404, reward: "judge", step: 2, row: "r0", sample: 0 });
  });
});

describe("limits that make no sense", () => {
  it.each([
    { concurrency: 0 },
    { concurrency: 1.5 },
    { timeoutMs: 0 },
    { timeoutMs: 2 ** 31 },
    { timeoutMs: Number.NaN },
    { retries: -1 },
    { backoffMs: -5 },
  ])("such as %o are refused when the reward is defined", (calls) => {
    expect(() => combineRewards(judge(calls, () => 1))).toThrow(
      expect.objectContaining({ name: "ConfigError", code: "CONFIG_REWARD_CALLS" }),
    );
  });
});
