import { describe, expect, it } from "vitest";
import type { PolicyUsage } from "../../src/policy/index.js";
import { startStepClock } from "../../src/trainer/step-clock.js";

/** A clock and a policy that are moved by hand, in seconds. */
function setUp() {
  let time = 0;
  let usage: PolicyUsage = { busySeconds: 0, modelSeconds: 0, workerSeconds: 0, bytesSent: 0, bytesReceived: 0 };
  const clock = startStepClock(
    () => usage,
    () => time * 1000,
  );
  const pass = (
    seconds: number,
    spent: { busy?: number; model?: number; reported?: number; bytes?: number } = {},
  ): void => {
    time += seconds;
    usage = {
      ...usage,
      busySeconds: usage.busySeconds + (spent.busy ?? spent.model ?? 0),
      modelSeconds: usage.modelSeconds + (spent.model ?? 0),
      workerSeconds: usage.workerSeconds + (spent.reported ?? 0),
      bytesSent: usage.bytesSent + (spent.bytes ?? 0),
      bytesReceived: usage.bytesReceived + 2 * (spent.bytes ?? 0),
    };
  };
  return { clock, pass };
}

describe("the step clock", () => {
  it("tells waiting for the worker from TypeScript alone", () => {
    const { clock, pass } = setUp();
    pass(1, { busy: 0.75 });
    clock.lap("encode");
    pass(4, { model: 3.5, reported: 3, bytes: 10 });
    clock.lap("generate");
    pass(0.5);
    clock.lap("rewards");
    pass(2, { model: 2, reported: 1.75, bytes: 5 });
    expect(clock.finish()).toEqual({
      total: 7.5,
      worker: 6.25,
      bridge: 1.5,
      control: 1.25,
      encode: 1,
      generate: 4,
      rewards: 0.5,
      update: 2,
      bytesSent: 15,
      bytesReceived: 30,
    });
  });

  it("does not excuse TypeScript with the encoding of the next step that runs beside it", () => {
    const { clock, pass } = setUp();
    pass(1, { model: 1 });
    clock.lap("generate");
    pass(2, { busy: 2 });
    clock.lap("rewards");
    expect(clock.finish()).toMatchObject({ total: 3, worker: 1, control: 2 });
  });

  it("runs on from step to step, and counts what happens between for the next", () => {
    const { clock, pass } = setUp();
    pass(1, { model: 1, bytes: 1 });
    clock.finish();
    pass(0.25, { busy: 0.25 });
    clock.lap("between");
    pass(1, { model: 1, bytes: 2 });
    clock.lap("generate");
    expect(clock.finish()).toMatchObject({ total: 1.25, worker: 1, control: 0.25, generate: 1, bytesSent: 2 });
  });

  it("leaves out evaluations and checkpoints, also those that fail", async () => {
    const { clock, pass } = setUp();
    pass(0.5);
    const done = await clock.leaveOut(async () => {
      pass(60, { model: 60, bytes: 9 });
      return "done";
    });
    expect(done).toBe("done");
    await expect(
      clock.leaveOut(async () => {
        pass(60, { model: 60 });
        throw new Error("full");
      }),
    ).rejects.toThrow("full");
    pass(1, { model: 1 });
    clock.lap("generate");
    expect(clock.finish()).toMatchObject({ total: 1.5, worker: 1, control: 0.5, bytesSent: 0 });
  });
});
