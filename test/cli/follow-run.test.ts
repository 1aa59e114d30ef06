import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { followRun } from "../../src/cli/follow-run.js";
import { defineReward, train } from "../../src/index.js";
import type { RewardRecord, RunResult, StepMetrics } from "../../src/index.js";
import { listCheckpoints } from "../../src/runs/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { freeAddress, keyFolder } from "../bridge/dialling.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { meddle, methodsOf, runFake } from "../support/fake-run.js";
import { commandIo } from "./outputs.js";

interface Interruption {
  readonly signal?: "SIGINT" | "SIGTERM";
  /** Seconds. */
  readonly grace?: number;
  readonly rewards?: RewardRecord;
}

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

/** Follows a run of 4 steps in which Ctrl-C comes `times` times when the second one samples, or another signal. */
function interrupted(
  name: string,
  times: number,
  { signal = "SIGINT", grace = 60, ...more }: Interruption = {},
): { ended: Promise<RunResult>; told: () => string } {
  const io = commandIo(set.folder);
  let sampled = 0;
  const connect = meddle(createFakeWorker(), {
    before: (method) => {
      if (method === "generate") sampled += 1;
      if (method !== "generate" || sampled !== 2) return;
      for (let press = 0; press < times; press += 1) process.emit(signal);
    },
  });
  const config = set.config(name, { save_steps: 100 });
  const ended = followRun<StepMetrics>((options) => train(config, { ...options, ...more, connect }), io, grace);
  return { ended, told: () => io.stderr.text() };
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

describe("SIGTERM", () => {
  const record = (name: string): string[] =>
    ["metrics.jsonl", "checkpoints/step_000004/trainer.json", "model/weight.json"].map((file) =>
      readFileSync(join(set.config(name).output_dir!, file), "utf8"),
    );
  /** Pays by length; in the second step, while it is asked to, it never answers. */
  const paying = (hangs: () => boolean): RewardRecord => ({
    length: defineReward({
      name: "length",
      score: ({ completion, step, signal }) =>
        step === 2 && hangs()
          ? new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)))
          : completion.tokenIds.length,
    }),
  });

  it("finishes a step that is over in time, saves, exports nothing, and may come again", async () => {
    const { ended, told } = interrupted("terminated", 3, { signal: "SIGTERM" });
    expect(await ended).toMatchObject({ reason: "stopped", step: 2, model: null });
    expect((await listCheckpoints(set.config("terminated").output_dir!)).map(({ step }) => step)).toEqual([2]);
    expect(told()).toContain("SIGTERM: saving within 60 s; a step that takes longer than half of them is given up\n");
  });

  it("gives up a step that is not, and the same command gives the run that would have been", async () => {
    const rewards = paying(() => false);
    await runFake(set.config("whole", { save_steps: 100 }), { rewards });
    const { ended } = interrupted("given-up", 1, { signal: "SIGTERM", grace: 0.1, rewards: paying(() => true) });
    expect(await ended).toMatchObject({ reason: "stopped", step: 1 });
    const again = { ...set.config("given-up", { save_steps: 100 }), resume_from_checkpoint: "auto" };
    const { worker } = await runFake(again, { rewards });
    expect(methodsOf(worker)[1]).toBe("restore");
    expect(record("given-up")).toEqual(record("whole"));
  });

  it("gives up an evaluation as well, which is made up for", async () => {
    const held = { save_steps: 100, val_split_ratio: 0.25, eval_steps: 1, prompts_per_step: 2 };
    await runFake(set.config("whole-held", held));
    const config = { ...set.config("evaluating", held), resume_from_checkpoint: "auto" };
    let updates = 0;
    const connect = meddle(createFakeWorker(), {
      async before(method) {
        if (method === "optimStep") updates += 1;
        if (method !== "generate" || updates !== 2) return;
        void run.stop({ withinSeconds: 0 });
        await new Promise((later) => setTimeout(later, 20));
      },
    });
    const run = train(config, { connect });
    expect(await run.result).toMatchObject({ reason: "stopped", step: 2, model: null });
    expect((await run.result).evaluations.map(({ step }) => step)).toEqual([0, 1]);
    await runFake(config);
    const all = (name: string): unknown[] => [
      ...record(name),
      ...readdirSync(join(set.config(name).output_dir!, "evals")).sort(),
    ];
    expect(all("evaluating")).toEqual(all("whole-held"));
  });

  it("before the first checkpoint leaves a run that the same command begins again; another is not overwritten", async () => {
    const config = { ...set.config("early", { save_steps: 100 }), resume_from_checkpoint: "auto" };
    const pulled = meddle(createFakeWorker(), {
      before: (method) => {
        if (method === "optimStep") throw new Error("pulled");
      },
    });
    await expect(train(config, { connect: pulled }).result).rejects.toThrow("pulled");
    await expect(runFake({ ...config, seed: 43 })).rejects.toMatchObject({ code: "RESUME_MISMATCH" });
    expect((await runFake(config)).result).toMatchObject({ reason: "finished", step: 4 });
    expect((await runFake(config)).result).toMatchObject({ reason: "finished", step: 4, metrics: null });
  });
});

describe.each(["SIGTERM", "SIGINT"] as const)("%s", (signal) => {
  it("while workers of other machines are waited for gives up waiting", async () => {
    const io = commandIo(set.folder);
    const { control } = await keyFolder("node0");
    const config = set.config(`waiting-${signal}`, {
      worker_address: await freeAddress(),
      worker_key_file: control,
      resume_from_checkpoint: "auto",
    });
    const onNews = (): unknown => process.emit(signal);
    const ended = followRun<StepMetrics>((options) => train(config, { ...options, onNews }), io, 60);
    expect(await ended).toMatchObject({ reason: "stopped", step: 0, model: null });
    expect(io.stderr.text()).toContain("stopped after step 0\n");
    expect(existsSync(config.output_dir!) ? readdirSync(config.output_dir!) : []).toEqual([]);
  });

  it("while the model is loaded gives up loading, and the run that is there stays as it was", async () => {
    const config = { ...set.config(`loading-${signal}`), resume_from_checkpoint: "auto" };
    await runFake(config);
    const before = readFileSync(join(config.output_dir!, "events.jsonl"), "utf8");
    const connect = meddle(createFakeWorker(), {
      before: (method) => void (method === "load" && process.emit(signal)),
    });
    const ended = followRun<StepMetrics>(
      (options) => train(config, { ...options, connect }),
      commandIo(set.folder),
      60,
    );
    expect(await ended).toMatchObject({ reason: "stopped", step: 4, model: null });
    expect(readFileSync(join(config.output_dir!, "events.jsonl"), "utf8")).toBe(before);
  });
});
