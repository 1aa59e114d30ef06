import { setImmediate } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { combineRewards, defineReward, fidelity, scoreRewards, type RewardGroup } from "../../src/rewards/index.js";
import { failureOf } from "./failure-of.js";

/** A group whose row has the id `name` and whose completions answer the given contents. */
function answers(name: string, mos: number, ...contents: string[]): RewardGroup {
  return {
    prompt: { row: { id: name, dataset: "a", mos, extra: { camera: `camera of ${name}` } } },
    completions: contents.map((content) => ({
      text: `<think>x</think><answer>${content}</answer>`,
      tokenIds: Int32Array.from(content, (_, index) => index),
      finishReason: "stop",
    })),
  };
}

const two = [answers("one", 4, "3.00", "4.00"), answers("two", 2, "1.00", "bad")];

describe("scoreRewards", () => {
  it("weighs the built-in rewards and keeps each unweighted", async () => {
    const scored = await scoreRewards(two, { fidelity: 1, format: 0.5 });
    const expected = fidelity([
      { dataset: "a", mos: 4, scores: [3, 4] },
      { dataset: "a", mos: 2, scores: [1, null] },
    ]);
    expect(scored.breakdown).toEqual({
      fidelity: expected,
      format: [
        [1, 1],
        [1, 0],
      ],
    });
    expect(scored.totals).toEqual([
      [expected[0]![0]! + 0.5, expected[0]![1]! + 0.5],
      [expected[1]![0]! + 0.5, 0],
    ]);
    expect(scored.parse).toEqual([
      ["ok", "ok"],
      ["ok", "failed"],
    ]);
    expect(scored.missing).toBe(0);
    expect(scored.constantAnswers).toEqual({ fidelity: expect.closeTo(Math.SQRT1_2, 15) as number, format: null });
  });

  it("lets a reward that cannot judge abstain, and gives no total where all abstain", async () => {
    const groups = [...two, { ...answers("three", 3, "2.00"), prompt: { row: { id: "3", dataset: "b", mos: 3 } } }];
    const scored = await scoreRewards(groups, { fidelity: 1, format: 0.5 });
    expect(scored.breakdown["fidelity"]![2]).toEqual([null]);
    expect(scored.totals[2]).toEqual([0.5]);
    expect(scored.missing).toBe(0);

    const alone = await scoreRewards(groups, { fidelity: 1, format: 0 });
    expect(alone.totals[2]).toEqual([null]);
    expect(alone.missing).toBe(1);
  });

  it("runs own rewards of all three scopes, with typed rows", async () => {
    const rewards = combineRewards([
      defineReward({
        name: "single",
        row: z.object({ mos: z.number() }),
        score: ({ completion, row }) => row.mos * 10 + completion.index,
      }),
      defineReward({
        name: "group",
        scoreGroup: ({ completions }) => completions.map(({ tokenIds }) => tokenIds.length),
      }),
      defineReward({
        name: "batch",
        scoreBatch: ({ groups }) => groups.map(({ completions }, p) => completions.map(() => p)),
      }),
    ]);
    const { breakdown, totals } = await scoreRewards(two, rewards);
    expect(breakdown).toEqual({
      single: [
        [40, 41],
        [20, 21],
      ],
      group: [
        [4, 4],
        [4, 3],
      ],
      batch: [
        [0, 0],
        [1, 1],
      ],
    });
    expect(totals).toEqual([
      [44, 45],
      [25, 25],
    ]);
  });

  it("shows a row with the fields of `extra` beside the known ones", async () => {
    const seen: unknown[] = [];
    const look = defineReward({
      name: "look",
      row: z.object({ camera: z.string(), mos: z.number() }),
      score: ({ row }) => seen.push(row),
    });
    const raw = defineReward({
      name: "raw",
      scoreBatch: ({ groups }) => [[groups[0]!.row["camera"] === "camera of one" ? 1 : 0]],
    });
    const scored = await scoreRewards([answers("one", 4, "3")], [look, raw]);
    expect(seen).toEqual([{ camera: "camera of one", mos: 4 }]);
    expect(scored.breakdown["raw"]).toEqual([[1]]);
  });

  it("checks each row once per reward", async () => {
    const check = vi.fn(() => true);
    const reward = defineReward({ name: "checked", row: z.looseObject({}).refine(check), score: () => 1 });
    await scoreRewards(two, [reward]);
    expect(check).toHaveBeenCalledTimes(2);
  });

  it("starts all asynchronous scores at once and keeps their order", async () => {
    let running = 0;
    let most = 0;
    const releases: (() => void)[] = [];
    const slow = defineReward({
      name: "slow",
      score: async ({ completion, row }) => {
        most = Math.max(most, ++running);
        if (running === 4) releases.toReversed().forEach((release) => release());
        else await new Promise<void>((resolve) => releases.push(resolve));
        running -= 1;
        return Number(row["mos"]) * 10 + completion.index;
      },
    });
    const { totals } = await scoreRewards(two, [slow]);
    expect(most).toBe(4);
    expect(totals).toEqual([
      [40, 41],
      [20, 21],
    ]);
  });

  it("lets two rewards that wait wait side by side", async () => {
    const gate = deferred();
    const first = defineReward({ name: "first", scoreBatch: async () => (await gate.promise, [[1]]) });
    const second = defineReward({ name: "second", scoreBatch: () => (gate.resolve(), [[2]]) });
    expect((await scoreRewards([answers("one", 4, "3")], [first, second])).totals).toEqual([[3]]);
  });

  it("measures each reward with the clock it is given", async () => {
    let clock = 0;
    const tick = defineReward({ name: "tick", scoreBatch: () => ((clock += 250), [[1]]) });
    const tock = defineReward({ name: "tock", scoreBatch: () => ((clock += 1000), [[1]]) });
    const scored = await scoreRewards([answers("one", 4, "3")], [tick, tock], { now: () => clock });
    expect(scored.seconds).toEqual({ tick: 0.25, tock: 1 });
  });

  it("hands the step to rewards and leaves the given groups alone", async () => {
    const groups = structuredClone(two);
    const step = defineReward({
      name: "step",
      scoreBatch: ({ step: at, groups: all }) => all.map((g) => g.completions.map(() => at!)),
    });
    expect((await scoreRewards(groups, [step], { step: 7 })).totals[0]).toEqual([7, 7]);
    expect(groups).toEqual(two);
  });

  it("scores nothing as nothing", async () => {
    const scored = await scoreRewards([], { fidelity: 1, format: 1 });
    expect(scored.totals).toEqual([]);
    expect(scored.constantAnswers).toEqual({ fidelity: null, format: null });
  });

  it("under reference parity draws a seeded score where none can be read", async () => {
    const groups = [answers("one", 4, "3", "4"), answers("two", 2, "bad", "worse")];
    const run = (seed: number, step: number) =>
      scoreRewards(groups, combineRewards({ fidelity: 1 }, { referenceParity: true, seed }), { step });
    const first = await run(1, 1);
    expect(await run(1, 1).then(({ totals }) => totals)).toEqual(first.totals);
    const draws = await Promise.all(Array.from({ length: 12 }, (_, step) => run(1, step)));
    expect(new Set(draws.map(({ totals }) => JSON.stringify(totals))).size).toBeGreaterThan(3);
    expect(first.totals.flat().every((total) => total! > 0)).toBe(true);
    expect(first.parse[1]).toEqual(["failed", "failed"]);
  });
});

describe("a reward that fails", () => {
  it("that throws is named with step, row and sample, and keeps its cause", async () => {
    const cause = new Error("no network");
    const reward = defineReward({
      name: "judge",
      score: ({ completion, row }) => {
        if (row["id"] === "two" && completion.index === 1) throw cause;
        return 1;
      },
    });
    const error = await failureOf(scoreRewards(two, [reward], { step: 12 }));
    expect(error.code).toBe("REWARD_THREW");
    expect(error.message).toBe('the reward "judge" threw: no network (step 12, row two, sample 1).');
    expect(error.fields).toEqual({ reward: "judge", step: 12, row: "two", sample: 1 });
    expect(error.cause).toBe(cause);
  });

  it.each([Number.NaN, Infinity, undefined, "1", true, {}])("that returns %s is refused", async (value) => {
    const reward = defineReward({ name: "odd", score: () => value as number });
    const error = await failureOf(scoreRewards(two, [reward]));
    expect(error.code).toBe("REWARD_NOT_A_NUMBER");
    expect(error.fields).toMatchObject({ reward: "odd", row: "one", sample: 0 });
  });

  it("that returns too few values is refused", async () => {
    const group = defineReward({ name: "group", scoreGroup: () => [1] });
    expect((await failureOf(scoreRewards(two, [group]))).message).toBe(
      'the reward "group" returned a list of 1; expected one entry for each of the 2 completions (row one).',
    );
    const batch = defineReward({ name: "batch", scoreBatch: () => [[1, 1]] });
    expect((await failureOf(scoreRewards(two, [batch]))).code).toBe("REWARD_SHAPE");
    const ragged = defineReward({ name: "ragged", scoreBatch: () => [[1, 1], [1]] });
    expect((await failureOf(scoreRewards(two, [ragged]))).fields).toMatchObject({ row: "two" });
    const none = defineReward({ name: "none", scoreBatch: () => undefined as unknown as number[][] });
    expect((await failureOf(scoreRewards(two, [none]))).code).toBe("REWARD_SHAPE");
  });

  it("because a row does not fit its schema names the row and the field", async () => {
    const reward = defineReward({
      name: "typed",
      row: z.object({ camera: z.string(), iso: z.number() }),
      score: () => 1,
    });
    const error = await failureOf(scoreRewards(two, [reward]));
    expect(error.code).toBe("REWARD_ROW");
    expect(error.message).toMatch(/the reward "typed" cannot use row one: iso: /);
    expect(error.fields).toMatchObject({ reward: "typed", row: "one" });
  });

  it("because the labels are missing says so", async () => {
    const groups = [{ ...answers("one", 4, "3"), prompt: { row: { id: "bare", dataset: "a" } } }];
    expect((await failureOf(scoreRewards(groups, { fidelity: 1 }))).message).toMatch(/row bare: mos: /);
  });

  it("tells the others through their signal that nobody waits", async () => {
    const patient = deferred();
    const waiting = defineReward({
      name: "waiting",
      scoreBatch: ({ signal }) => {
        signal.addEventListener("abort", () => patient.resolve());
        return new Promise<number[][]>(() => undefined);
      },
    });
    const failing = defineReward({ name: "failing", score: () => Promise.reject(new Error("no")) });
    expect((await failureOf(scoreRewards(two, [waiting, failing]))).fields).toMatchObject({ reward: "failing" });
    await patient.promise;
  });
});

describe("cancelling", () => {
  it("lets every completion of a step listen to the signal without Node taking it for a leak", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): unknown => warnings.push(warning);
    process.on("warning", onWarning);
    const score = ({ signal }: { signal: AbortSignal }): number => {
      signal.addEventListener("abort", () => undefined);
      return 1;
    };
    const many = Array.from({ length: 20 }, () => "3.00");
    await scoreRewards([answers("one", 4, ...many)], [defineReward({ name: "listening", score })]);
    await setImmediate();
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  it("rejects with the signal's reason while rewards wait", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    let told: unknown;
    const waiting = defineReward({
      name: "waiting",
      scoreBatch: ({ signal }) => {
        signal.addEventListener("abort", () => (told = signal.reason));
        queueMicrotask(() => controller.abort(reason));
        return new Promise<number[][]>(() => undefined);
      },
    });
    await expect(scoreRewards(two, [waiting], { signal: controller.signal })).rejects.toBe(reason);
    expect(told).toBe(reason);
  });

  it("runs nothing when the signal was aborted before", async () => {
    const score = vi.fn(() => 1);
    const reason = new Error("too late");
    const call = scoreRewards(two, [defineReward({ name: "never", score })], { signal: AbortSignal.abort(reason) });
    await expect(call).rejects.toBe(reason);
    expect(score).not.toHaveBeenCalled();
  });
});

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
