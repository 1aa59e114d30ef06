import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { followRun } from "../../src/cli/follow-run.js";
import { train } from "../../src/index.js";
import type { RunResult } from "../../src/index.js";
import { listCheckpoints } from "../../src/runs/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { meddle } from "../support/fake-run.js";
import { commandIo } from "./outputs.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

/** Follows a run of 4 steps in which Ctrl-C comes `times` times when the second one samples. */
function interrupted(name: string, times: number): { ended: Promise<RunResult>; told: () => string } {
  const io = commandIo(set.folder);
  let sampled = 0;
  const connect = meddle(createFakeWorker(), {
    before: (method) => {
      if (method === "generate") sampled += 1;
      if (method !== "generate" || sampled !== 2) return;
      for (let press = 0; press < times; press += 1) process.emit("SIGINT");
    },
  });
  const config = set.config(name, { save_steps: 100 });
  return { ended: followRun((options) => train(config, { ...options, connect }), io), told: () => io.stderr.text() };
}

describe("Ctrl-C", () => {
  it("once finishes the step under way, saves, and says so", async () => {
    const { ended, told } = interrupted("once", 1);
    expect(await ended).toMatchObject({ reason: "stopped", step: 2, steps: 4 });
    expect((await listCheckpoints(set.config("once").output_dir!)).map(({ step }) => step)).toEqual([2]);
    const [stopping, step, saved] = told().split("\n").slice(-5);
    expect(stopping).toBe("stopping: the step under way is finished and saved; Ctrl-C again stops now");
    expect(step).toMatch(/^step 2\/4 /);
    expect(saved).toMatch(/^step 2 {2}saved .*step_000002$/);
  });

  it("twice stops now: the step under way is lost", async () => {
    const { ended, told } = interrupted("twice", 2);
    await expect(ended).rejects.toThrow("interrupted twice");
    expect(await listCheckpoints(set.config("twice").output_dir!)).toEqual([]);
    expect(told()).toContain("stopping now: what is not saved is lost; resume from the last checkpoint\n");
    expect(told()).not.toContain("step 3/4");
  });

  it("is left to others when the run is over, however it ends", async () => {
    const before = process.listenerCount("SIGINT");
    await interrupted("over", 1).ended;
    await interrupted("over-again", 2).ended.catch(() => undefined);
    expect(process.listenerCount("SIGINT")).toBe(before);
  });
});
