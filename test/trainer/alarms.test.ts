import { describe, expect, it } from "vitest";
import { checkAlarms, createAlarmState } from "../../src/trainer/alarms.js";
import type { AlarmInput, AlarmState } from "../../src/trainer/alarms.js";

/** A step with which all is well. */
const WELL = {
  reward: 1.5,
  reward_std: 0.3,
  "parse/failed_ratio": 0.05,
  "completions/clipped_ratio": 0.05,
  frac_reward_zero_std: 0.2,
  entropy: 0.8,
  "rewards/fidelity/mean": 0.9,
  prediction_spread: 1,
};

function check(state: AlarmState, step: number, metrics: object = {}, more: Partial<AlarmInput> = {}): string[] {
  const input = { step, updateSkipped: false, firstOfRollout: true, constantAnswers: { fidelity: 0.8 }, ...more };
  return checkAlarms(state, { ...input, metrics: { ...WELL, ...metrics } }).map(({ name }) => name);
}

describe("an alarm", () => {
  it.each([
    ["parse-failures", { "parse/failed_ratio": 0.21 }, { "parse/failed_ratio": 0.2 }],
    ["truncation", { "completions/clipped_ratio": 0.21 }, { "completions/clipped_ratio": 0.2 }],
    ["zero-variance", { frac_reward_zero_std: 0.81 }, { frac_reward_zero_std: 0.8 }],
    ["entropy", { entropy: 0.009 }, { entropy: 0.01 }],
  ])("for %s fires beyond its limit and is silent at it", (name, beyond, at) => {
    expect(check(createAlarmState(), 1, beyond)).toEqual([name]);
    expect(check(createAlarmState(), 1, at)).toEqual([]);
  });

  it("for a skipped update fires when one was", () => {
    expect(check(createAlarmState(), 1, {}, { updateSkipped: true })).toEqual(["update-skipped"]);
  });

  it("is silent while all is well, and for metrics that are not there", () => {
    const nothing = Object.fromEntries(Object.keys(WELL).map((name) => [name, null]));
    const state = createAlarmState();
    for (let step = 1; step <= 30; step += 1) expect(check(state, step)).toEqual([]);
    expect(check(createAlarmState(), 1, nothing, { constantAnswers: {} })).toEqual([]);
  });

  it("is told once while it holds, and again after 20 quiet steps", () => {
    const state = createAlarmState();
    const low = { entropy: 0.001 };
    const told: number[] = [];
    for (let step = 1; step <= 80; step += 1) {
      const holds = step <= 10 || step === 30 || step >= 51;
      if (check(state, step, holds ? low : {}).length > 0) told.push(step);
    }
    // Away from 11 to 29 is not long enough, from 31 to 50 neither; 51 is 21 steps after 30.
    expect(told).toEqual([1, 51]);
  });

  it("says the numbers it speaks of", () => {
    const [alarm] = checkAlarms(createAlarmState(), {
      step: 3,
      updateSkipped: false,
      firstOfRollout: true,
      constantAnswers: {},
      metrics: { ...WELL, "parse/failed_ratio": 0.456 },
    });
    expect(alarm!.message).toMatch(/^46 % of the answers could not be parsed/);
  });
});

describe("the alarm for collapse", () => {
  const started = (spread = 1): AlarmState => {
    const state = createAlarmState();
    for (let step = 1; step <= 5; step += 1) expect(check(state, step, { prediction_spread: spread })).toEqual([]);
    return state;
  };
  const collapsed = { "rewards/fidelity/mean": 0.8, prediction_spread: 0.49 };

  it("fires when fidelity is no better than a constant answer and the spread has halved", () => {
    expect(check(started(), 6, collapsed)).toEqual(["collapse"]);
  });

  it.each([
    ["fidelity is better", { ...collapsed, "rewards/fidelity/mean": 0.81 }, {}],
    ["the spread has not halved", { ...collapsed, prediction_spread: 0.5 }, {}],
    ["no reward knows a constant answer", collapsed, { constantAnswers: { fidelity: null } }],
    ["there is no fidelity", { ...collapsed, "rewards/fidelity/mean": null }, {}],
  ])("is silent when %s", (_, metrics, more) => {
    expect(check(started(), 6, metrics, more)).toEqual([]);
  });

  it("does not fire before there is a start to compare with", () => {
    const state = createAlarmState();
    for (let step = 1; step <= 5; step += 1)
      expect(check(state, step, { ...collapsed, prediction_spread: 0.1 })).toEqual([]);
  });

  it("takes the first five rollout batches for the start, however many updates each feeds", () => {
    const state = createAlarmState();
    for (let step = 1; step <= 10; step += 1) {
      check(state, step, { prediction_spread: step <= 2 ? 3 : 1 }, { firstOfRollout: step % 2 === 1 });
    }
    // (3 + 1 + 1 + 1 + 1) / 5 = 1.4
    expect(state).toMatchObject({ spreadCount: 5, spreadSum: 7 });
    expect(check(state, 11, { ...collapsed, prediction_spread: 0.69 })).toEqual(["collapse"]);
  });
});
