import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { rewardKeys } from "../../src/config/keys/rewards.js";
import {
  advanceFidelityWarmup,
  combineRewards,
  createFidelityWarmup,
  defineReward,
  fidelitySurplus,
  fidelityWarmupDefaults,
  scoreRewards,
  withFidelityWarmup,
} from "../../src/rewards/index.js";
import type { FidelityWarmup, RewardSet, WarmupBatch } from "../../src/rewards/index.js";
import { mean } from "../../src/stats/index.js";
import { answerImages } from "../support/raters.js";
import type { RaterOptions } from "../support/raters.js";

const rewards = combineRewards({ fidelity: 1, format: 0.5 });
const weightsOf = (set: RewardSet): Record<string, number> =>
  Object.fromEntries(set.map(({ name, weight }) => [name, weight]));
const over: FidelityWarmup = { batches: 12, surplus: 0.02, srcc: 0.5, endedAfter: 12 };

/** Own loops do just this. */
async function batchOf(warmup: FidelityWarmup, rater: RaterOptions): Promise<WarmupBatch> {
  const groups = answerImages(rater);
  return { groups, scored: await scoreRewards(groups, withFidelityWarmup(rewards, warmup)) };
}

async function follow(raters: readonly RaterOptions[], start = createFidelityWarmup()): Promise<FidelityWarmup[]> {
  const states = [start];
  for (const rater of raters) {
    const before = states.at(-1)!;
    states.push(advanceFidelityWarmup(before, await batchOf(before, rater)));
  }
  return states;
}

const steps = (count: number, correlation: number, more: object = {}): RaterOptions[] =>
  Array.from({ length: count }, (_, seed) => ({ correlation, images: 24, seed, ...more }));

describe("the rewards of a warm-up", () => {
  it("pay win_probability with fidelity's weight until it is over, and measure both all along", () => {
    const set = combineRewards({ fidelity: 2, format: 0.5 });
    expect(weightsOf(withFidelityWarmup(set, createFidelityWarmup()))).toEqual({
      fidelity: 0,
      format: 0.5,
      win_probability: 2,
    });
    expect(weightsOf(withFidelityWarmup(set, over))).toEqual({ fidelity: 2, format: 0.5, win_probability: 0 });
    expect(weightsOf(set)).toEqual({ fidelity: 2, format: 0.5 });
  });

  it("add to a win_probability that is there anyway", () => {
    const set = combineRewards({ win_probability: 0.25, accuracy: 1 });
    expect(weightsOf(withFidelityWarmup(set, createFidelityWarmup()))).toEqual({ win_probability: 1.25, fidelity: 0 });
    expect(weightsOf(withFidelityWarmup(set, over))).toEqual({ win_probability: 0.25, fidelity: 1 });
  });

  it("compare as they are told to", async () => {
    const groups = answerImages({ correlation: 0.5, seed: 1 });
    const options = { variance: "fixed", varianceFloor: 2 } as const;
    const set = withFidelityWarmup(combineRewards({ fidelity: 1 }, options), createFidelityWarmup(), options);
    const { breakdown } = await scoreRewards(groups, set);
    expect(breakdown["win_probability"]).toEqual(
      (await scoreRewards(groups, combineRewards(["win_probability"], options))).breakdown["win_probability"],
    );
  });

  it.each([
    ["none", combineRewards({ binary: 1 }), /the rewards are binary\./],
    [
      "one of the user's own",
      combineRewards({ fidelity: defineReward({ name: "fidelity", score: () => 1 }) }),
      /fidelity being one of your own/,
    ],
  ])("need the built-in fidelity, and there is %s", (_, set, message) => {
    expect(() => withFidelityWarmup(set, createFidelityWarmup())).toThrow(message);
  });
});

describe("a warm-up", () => {
  it("goes on while the scores mean nothing, and while they rank too little for fidelity", async () => {
    for (const correlation of [0, 0.3]) {
      const states = await follow(steps(60, correlation));
      expect(states.at(-1)).toMatchObject({ batches: 60, endedAfter: null });
      expect(states.at(-1)!.surplus).toBeLessThan(0);
    }
  });

  it("goes on while all answers are one constant, which has no correlation and no surplus", async () => {
    const states = await follow(steps(30, 0, { spread: 0, deviation: 0 }));
    expect(states.at(-1)).toMatchObject({ srcc: 0, endedAfter: null });
    expect(states.at(-1)!.surplus).toBeCloseTo(0, 12);
  });

  it("of a model that ranks ends after ten rollout batches, no sooner", async () => {
    const states = await follow(steps(11, 0.8));
    expect(states.map(({ endedAfter }) => endedAfter)).toEqual([...Array.from({ length: 10 }, () => null), 10, 10]);
  });

  it("ends some batches after the model began to rank, and never comes back", async () => {
    const learning = await follow([...steps(20, 0), ...steps(40, 0.8)]);
    const { endedAfter, srcc, surplus } = learning.at(-1)!;
    expect(endedAfter).toBeGreaterThan(25);
    expect(endedAfter).toBeLessThan(40);
    expect(srcc).toBeGreaterThan(fidelityWarmupDefaults.srcc);
    expect(surplus).toBeGreaterThan(fidelityWarmupDefaults.margin);
    const forgotten = await follow(steps(30, 0), learning.at(-1));
    expect(forgotten.at(-1)).toBe(learning.at(-1));
  });

  it("needs both: a correlation does not do while fidelity pays a constant answer more", async () => {
    // Scores of one image that hardly differ make every small error a certain one.
    const unsure = { deviation: 0.01 };
    const [state] = (await follow(steps(20, 0.3, unsure))).slice(-1);
    const options = { srcc: 0.1, batches: 10 };
    const batch = await batchOf(state!, { correlation: 0.3, images: 24, seed: 99, ...unsure });
    expect(advanceFidelityWarmup(state!, batch, options)).toMatchObject({ endedAfter: null });
    expect(state!.srcc).toBeGreaterThan(0.1);
  });

  it("averages the first batches plainly and the later ones exponentially", async () => {
    const states = await follow(steps(12, 0.3));
    const surpluses = await Promise.all(
      steps(12, 0.3).map(async (rater) => fidelitySurplus((await batchOf(createFidelityWarmup(), rater)).scored)!),
    );
    expect(states[1]!.surplus).toBeCloseTo(surpluses[0]!, 14);
    expect(states[10]!.surplus).toBeCloseTo(mean(surpluses.slice(0, 10))!, 14);
    expect(states[12]!.surplus).toBeCloseTo(
      0.81 * mean(surpluses.slice(0, 10))! + 0.09 * surpluses[10]! + 0.1 * surpluses[11]!,
      14,
    );
  });

  it("goes on alike from a state that went through JSON", async () => {
    const raters = [...steps(8, 0), ...steps(22, 0.7)];
    const whole = await follow(raters);
    for (const cut of [7, 29]) {
      const before = (await follow(raters.slice(0, cut))).at(-1)!;
      const after = await follow(raters.slice(cut), JSON.parse(JSON.stringify(before)) as FidelityWarmup);
      expect(after.at(-1)).toEqual(whole.at(-1));
    }
  });

  it("ends only where both averages are above their limits", () => {
    fc.assert(
      fc.property(
        fc.record({
          batches: fc.nat(50),
          surplus: fc.double({ min: -0.5, max: 0.3, noNaN: true }),
          srcc: fc.double({ min: -1, max: 1, noNaN: true }),
        }),
        (seen) => {
          const groups = answerImages({ correlation: 0.6, seed: seen.batches });
          // Neither rewards nor parse statuses: the batch shows nothing and counts as 0.
          const scored = {
            totals: [],
            breakdown: { fidelity: [] },
            weights: {},
            parse: [],
            missing: 0,
            attachments: {},
            constantAnswers: { fidelity: null },
            seconds: {},
          };
          const next = advanceFidelityWarmup({ ...seen, endedAfter: null }, { groups, scored });
          const { srcc, margin, batches } = fidelityWarmupDefaults;
          const ready = next.batches >= batches && next.srcc! > srcc && next.surplus! > margin;
          expect(next.batches).toBe(seen.batches + 1);
          expect(next.endedAfter).toBe(ready ? next.batches : null);
        },
      ),
    );
  });

  it("leaves unreadable answers out of the surplus", async () => {
    const groups = answerImages({ correlation: 0.8, seed: 5 });
    const cut = groups.map(({ prompt, completions }) => ({
      prompt,
      completions: [...completions, { ...completions[0]!, text: "no answer" }],
    }));
    const surplus = async (all: typeof groups): Promise<number> => fidelitySurplus(await scoreRewards(all, rewards))!;
    expect(await surplus(cut)).toBeCloseTo(await surplus(groups), 14);
  });

  it("cannot be judged without fidelity", async () => {
    const scored = await scoreRewards(answerImages({ correlation: 0, seed: 1 }), { format: 1 });
    expect(() => fidelitySurplus(scored)).toThrow(/scored with format, so what fidelity would pay is not known/);
  });

  it("has one default for the correlation, in the configuration and in code", () => {
    expect(rewardKeys.fidelity_warmup_srcc.parse(undefined)).toBe(fidelityWarmupDefaults.srcc);
  });
});
