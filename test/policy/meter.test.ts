import { describe, expect, it } from "vitest";
import { createMeter, createMeteredCallers } from "../../src/policy/meter.js";

/** Work that ends when it is told to. */
function work(): { promise: Promise<void>; end: () => void } {
  let end = (): void => undefined;
  const promise = new Promise<void>((resolve) => (end = resolve));
  return { promise, end };
}

describe("the meter", () => {
  it("counts time in which something is under way once, however many calls overlap", async () => {
    let now = 0;
    const meter = createMeter(() => now);
    const [first, second] = [work(), work()];
    now = 1000;
    const one = meter.during(() => first.promise);
    now = 2000;
    const two = meter.during(() => second.promise);
    expect(meter.seconds()).toBe(1);
    now = 4000;
    first.end();
    await one;
    now = 5000;
    second.end();
    await two;
    now = 9000;
    expect(meter.seconds()).toBe(4);
  });

  it("counts calls that fail", async () => {
    let now = 0;
    const meter = createMeter(() => now);
    const failing = meter.during(async () => {
      now = 500;
      throw new Error("no");
    });
    await expect(failing).rejects.toThrow("no");
    now = 900;
    expect(meter.seconds()).toBe(0.5);
  });

  it("does not count what is written while nobody waits", async () => {
    const { promise, end } = work();
    const caller = {
      call: () => promise.then(() => ({ result: {}, tensors: {} })),
      close: async () => undefined,
    };
    const { calls, usage } = createMeteredCallers([caller]);
    const writing = calls[0]!("writeSnapshot", {});
    expect(usage()).toMatchObject({ busySeconds: 0, modelSeconds: 0 });
    end();
    await writing;
    expect(usage()).toMatchObject({ busySeconds: 0, modelSeconds: 0 });
  });
});
