/**
 * The alarm for collapse on whole courses of a run, from answers to the words that are told.
 *
 * @module
 */
import { describe, expect, it } from "vitest";
import { combineRewards, createFidelityWarmup, scoreRewards, withFidelityWarmup } from "../../src/rewards/index.js";
import type { RewardSet } from "../../src/rewards/index.js";
import { checkAlarms, createAlarmState } from "../../src/trainer/alarms.js";
import type { Alarm } from "../../src/trainer/alarms.js";
import { completionMetrics, rewardMetrics } from "../../src/trainer/metrics.js";
import { answerImages } from "../support/raters.js";

interface Course {
  readonly rewards: RewardSet;
  readonly correlation: number;
  /** Share of the first spread and deviation that is left at a step. */
  readonly left: (step: number) => number;
  /** As the recorder has it: during a warm-up no paid reward knows a constant answer. */
  readonly warmingUp?: boolean;
}

async function alarmsOf({ rewards, correlation, left, warmingUp = false }: Course): Promise<[number, Alarm][]> {
  const state = createAlarmState();
  const told: [number, Alarm][] = [];
  for (let step = 1; step <= 40; step += 1) {
    const share = left(step);
    const groups = answerImages({ correlation, spread: 0.8 * share, deviation: 0.3 * share, seed: step });
    const scored = await scoreRewards(groups, rewards);
    const alarms = checkAlarms(state, {
      step,
      metrics: { ...completionMetrics(groups), ...rewardMetrics(scored) },
      constantAnswers: warmingUp ? {} : scored.constantAnswers,
      updateSkipped: false,
      firstOfRollout: true,
    });
    told.push(...alarms.filter(({ name }) => name === "collapse").map((alarm) => [step, alarm] as [number, Alarm]));
  }
  return told;
}

const fidelity = combineRewards({ fidelity: 1, format: 0.5 });
const shrinking = (step: number): number => Math.max(0, 1 - (step - 5) / 20);

describe("the alarm for collapse", () => {
  it("is told once, with the numbers, while fidelity pulls scores that mean nothing together", async () => {
    const told = await alarmsOf({ rewards: fidelity, correlation: 0, left: (step) => Math.min(1, shrinking(step)) });
    expect(told).toHaveLength(1);
    const [step, { message }] = told[0]!;
    expect(step).toBeGreaterThan(13);
    expect(step).toBeLessThan(20);
    expect(message).toMatch(
      /^the answers collapse to a constant: fidelity 0\.[567]\d\d is no better than the 0\.707 a constant answer earns, and the spread of the scores fell from 0\.[789]\d to 0\.[34]\d\. Start from a model that already ranks, set fidelity_warmup to "win_probability", or use the reward win_probability\.$/,
    );
  });

  it("is told when all answers are one constant from one step to the next, which earns exactly the 0.707", async () => {
    const told = await alarmsOf({ rewards: fidelity, correlation: 0.8, left: (step) => (step < 10 ? 1 : 0) });
    expect(told.map(([step]) => step)).toEqual([10]);
    expect(told[0]![1].message).toContain("fidelity 0.707 is no better than the 0.707");
  });

  it.each([
    ["the scores mean nothing and do not move together", { correlation: 0, left: () => 1 }],
    ["scores that rank move together", { correlation: 0.9, left: (step: number) => 1 - 0.6 * Math.min(1, step / 20) }],
  ])("is silent while %s", async (_, course) => {
    expect(await alarmsOf({ rewards: fidelity, ...course })).toEqual([]);
  });

  it("is silent while win_probability is paid, in a warm-up and by itself, as long as scores differ", async () => {
    const course = { correlation: 0, left: (step: number) => Math.max(0.3, shrinking(step)) };
    const warmup = withFidelityWarmup(fidelity, createFidelityWarmup());
    expect(await alarmsOf({ rewards: warmup, ...course, warmingUp: true })).toEqual([]);
    expect(await alarmsOf({ rewards: combineRewards({ win_probability: 1 }), ...course })).toEqual([]);
  });

  it.each(["win_probability", "binary"])(
    "is told with %s once all answers are one score, which pays it no less than others",
    async (name) => {
      const rewards = combineRewards({ [name]: 1 });
      const told = await alarmsOf({ rewards, correlation: 0.8, left: (step) => (step < 10 ? 1 : 0) });
      expect(told).toEqual([
        [
          10,
          {
            name: "collapse",
            message:
              "100 % of the answers that could be read give one and the same score, whatever the picture: there is nothing left to rank. Start from a model whose scores differ, raise temperature, or lower learning_rate.",
          },
        ],
      ]);
    },
  );
});
