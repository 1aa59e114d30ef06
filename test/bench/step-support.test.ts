import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { childNamed, childrenOf, cpuSeconds, residentBytes } from "../../bench/support/process-cost.js";
import { SHAPES, shapesOf } from "../../bench/support/step-shapes.js";

describe("shapesOf", () => {
  it("finds shapes by name, in the order asked for, and names those there are", () => {
    expect(shapesOf("long,kadid").map(({ name, tokens }) => [name, tokens])).toEqual([
      ["long", 256],
      ["kadid", 96],
    ]);
    expect(() => shapesOf("kadid,none")).toThrow(
      `there is no shape "none"; there are ${SHAPES.map(({ name }) => name).join(", ")}.`,
    );
  });
});

describe("what a process costs", () => {
  it("is read for a child: its processor time, its memory now and at its peak", async () => {
    const held = 64 * 2 ** 20;
    const work = `// cost-of-a-child
      let bytes = Buffer.alloc(${held}, 1);
      const began = process.cpuUsage();
      while (process.cpuUsage(began).user < 200_000);
      bytes = undefined;
      process.stdout.write("ready");
      process.stdin.resume();`;
    const child = spawn(process.execPath, ["-e", work], { stdio: ["pipe", "pipe", "inherit"] });
    try {
      await once(child.stdout, "data");
      const pid = childNamed("cost-of-a-child");
      expect(pid).toBe(child.pid);
      expect(childrenOf(process.pid)).toContain(pid);
      expect(cpuSeconds(pid)).toBeGreaterThanOrEqual(0.2);
      const { peak, now } = residentBytes(pid);
      expect(now).toBeLessThanOrEqual(peak);
      expect(peak).toBeGreaterThan(held);
      expect(() => childNamed("no-such-child")).toThrow('0 processes of "no-such-child" were started');
    } finally {
      child.kill();
    }
  });
});
