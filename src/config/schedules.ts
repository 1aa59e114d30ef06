/**
 * Learning rate schedules: the learning rate of every optimizer step.
 *
 * Source: the schedules of the same names in transformers (`optimization.py`). Its counter starts at 0, our steps at 1, so
 * step s uses its value at s - 1: the first step of a warm-up has learning rate 0, and the last step of a linear decay
 * over n steps has 1/n of the full rate.
 *
 * @module
 */

/** Names of the schedules, as `lr_scheduler_type` takes them. */
export type ScheduleType = "linear" | "cosine" | "constant" | "constant_with_warmup";

export interface ScheduleOptions {
  readonly type: ScheduleType;
  /** Learning rate after the warm-up. */
  readonly learningRate: number;
  /** Steps in which the rate rises linearly from 0. Default 0. "constant" has none, whatever is given. */
  readonly warmupSteps?: number;
  /** Steps in all, warm-up included; where linear and cosine reach 0. */
  readonly totalSteps: number;
}

/** Learning rate by optimizer step, 1-based. */
export type Schedule = (step: number) => number;

/** Factor after the warm-up, by the steps done and left of those behind it. */
const DECAYS: Readonly<Record<ScheduleType, (done: number, left: number) => number>> = {
  linear: (done, left) => Math.max(0, left / Math.max(1, done + left)),
  cosine: (done, left) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * (done / Math.max(1, done + left))))),
  constant: () => 1,
  constant_with_warmup: () => 1,
};

/** @returns the learning rate of each step */
export function createSchedule(options: ScheduleOptions): Schedule {
  const { type, learningRate, totalSteps } = options;
  const warmupSteps = type === "constant" ? 0 : (options.warmupSteps ?? 0);
  const decay = DECAYS[type];
  return (step) => {
    const done = step - 1;
    if (done < warmupSteps) return learningRate * (done / Math.max(1, warmupSteps));
    return learningRate * decay(done - warmupSteps, totalSteps - done);
  };
}

/** The schedules by name, for own training loops: `schedules.linear({ learningRate, totalSteps })`. */
export const schedules = {
  linear: (options: Omit<ScheduleOptions, "type">): Schedule => createSchedule({ ...options, type: "linear" }),
  cosine: (options: Omit<ScheduleOptions, "type">): Schedule => createSchedule({ ...options, type: "cosine" }),
  constant: (options: Omit<ScheduleOptions, "type">): Schedule => createSchedule({ ...options, type: "constant" }),
  constant_with_warmup: (options: Omit<ScheduleOptions, "type">): Schedule =>
    createSchedule({ ...options, type: "constant_with_warmup" }),
} as const;
