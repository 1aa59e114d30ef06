import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createGate } from "../../src/images/gate.js";

describe("createGate", () => {
  it("never lets more jobs in than it has places, and starts them in order", async () => {
    const gate = createGate(3);
    const started: number[] = [];
    let running = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        gate(async () => {
          started.push(index);
          running += 1;
          most = Math.max(most, running);
          await setImmediate();
          running -= 1;
        }),
      ),
    );
    expect(most).toBe(3);
    expect(started).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  it("frees the place of a job that fails", async () => {
    const gate = createGate(1);
    await expect(gate(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(gate(() => Promise.resolve(7))).resolves.toBe(7);
  });
});
