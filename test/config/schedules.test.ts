/**
 * Learning rates, against those of transformers.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createSchedule, schedules } from "../../src/config/index.js";
import type { ScheduleType } from "../../src/config/index.js";

interface Golden {
  readonly cases: readonly {
    readonly type: ScheduleType;
    readonly learning_rate: number;
    readonly warmup_steps: number;
    readonly total_steps: number;
    /** rates[s - 1] is the rate of step s; two steps more than there are. */
    readonly rates: readonly number[];
  }[];
}

const golden = JSON.parse(readFileSync(new URL("../golden/schedules_golden.json", import.meta.url), "utf8")) as Golden;

describe("createSchedule", () => {
  it.each(golden.cases)(
    "gives the rates of transformers: $type, $warmup_steps of $total_steps steps, $learning_rate",
    ({ type, learning_rate: learningRate, warmup_steps: warmupSteps, total_steps: totalSteps, rates }) => {
      const schedule = createSchedule({ type, learningRate, warmupSteps, totalSteps });
      const ours = rates.map((_, index) => schedule(index + 1));
      if (type !== "cosine") expect(ours).toEqual(rates);
      // The cosine of two libraries may differ in its last bit.
      for (const [index, rate] of rates.entries()) {
        expect(Math.abs(ours[index]! - rate)).toBeLessThanOrEqual(4 * Number.EPSILON * learningRate);
      }
    },
  );

  it("starts a warm-up at 0 and ends a decay one step above 0", () => {
    const schedule = createSchedule({ type: "linear", learningRate: 1, warmupSteps: 2, totalSteps: 6 });
    expect([1, 2, 3, 4, 5, 6, 7].map(schedule)).toEqual([0, 0.5, 1, 0.75, 0.5, 0.25, 0]);
  });
});

it("offers each schedule by its name", () => {
  const options = { learningRate: 0.1, warmupSteps: 2, totalSteps: 9 };
  for (const type of ["linear", "cosine", "constant", "constant_with_warmup"] as const) {
    const own = schedules[type](options);
    const same = createSchedule({ ...options, type });
    for (let step = 1; step <= 9; step++) expect(own(step)).toBe(same(step));
  }
});
