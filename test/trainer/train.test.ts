import { getEventListeners } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRun, train, WorkerError } from "../../src/index.js";
import type { TrainerEvent } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, meddle, methodsOf, runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

const withoutProgress = (events: readonly TrainerEvent[]): string[] =>
  events
    .filter(({ type }) => type !== "generate-progress")
    .map((event) => ("step" in event ? `${event.type} ${event.step}` : event.type));

describe("train", () => {
  it("of twelve workers is that of one: its rewards, one model on disk, no warning", async () => {
    const warnings: Error[] = [];
    const collect = (warning: Error): void => void warnings.push(warning);
    process.on("warning", collect);
    const more = { prompts_per_step: 4, max_steps: 2, save_steps: 1 };
    const [one, twelve] = await Promise.all(
      [1, 12].map(async (ranks) => {
        const worker = createFakeWorker({ ranks });
        const connect = async () => ({ ...(await worker.connect()), rendezvous: null });
        const config = set.config(`ranks-${ranks}`, { ...more, num_processes: ranks });
        const { events, result } = await runFake(config, { connect });
        const rewards = eventsOf(events, "step-end").map(({ metrics }) => metrics["reward"]);
        return { rewards, model: readdirSync(result.model!) };
      }),
    );
    await turn();
    process.off("warning", collect);
    expect(twelve).toEqual(one);
    expect(warnings).toEqual([]);
  });

  it("tells every event in order", async () => {
    const { events } = await runFake(set.config("order", { val_split_ratio: 0.25, eval_steps: 2, max_steps: 3 }));
    expect(withoutProgress(events)).toEqual([
      "run-start",
      "eval-end 0",
      "step-start 1",
      "rollout-end 1",
      "step-end 1",
      "step-start 2",
      "rollout-end 2",
      "step-end 2",
      "eval-end 2",
      "checkpoint-end 2",
      "step-start 3",
      "rollout-end 3",
      "step-end 3",
      "eval-end 3",
      "checkpoint-end 3",
      "run-end 3",
    ]);
  });

  it("describes plan, model and folder at the start, and counts completions", async () => {
    const config = set.config("facts");
    const { events } = await runFake(config);
    expect(eventsOf(events, "run-start")).toEqual([
      {
        type: "run-start",
        folder: config.output_dir,
        plan: { steps: 4, rollouts: 4, promptsPerStep: 3, numGenerations: 4, updatesPerRollout: 1, leftOver: 0 },
        model: expect.objectContaining({ family: "fake" }) as unknown,
        resumedFrom: 0,
        mismatches: [],
      },
    ]);
    expect(eventsOf(events, "rollout-end").map(({ completions }) => completions)).toEqual([12, 12, 12, 12]);
    expect(eventsOf(events, "step-end").map(({ epoch, steps }) => [epoch, steps])).toEqual([
      [0.375, 4],
      [0.75, 4],
      [1.125, 4],
      [1.5, 4],
    ]);
  });

  it("sums up in its result", async () => {
    const config = set.config("result", { val_split_ratio: 0.25 });
    const { events, result, worker } = await runFake(config);
    expect(result).toMatchObject({ folder: config.output_dir, step: 4, steps: 4, reason: "finished" });
    expect(result.model).toBe(join(config.output_dir!, "model"));
    expect(readdirSync(result.model!)).toEqual(["weight.json"]);
    expect(result.metrics).toEqual(eventsOf(events, "step-end").at(-1)!.metrics);
    expect(result.evaluations.map(({ step }) => step)).toEqual([0, 4]);
    const seconds = eventsOf(events, "step-end").map(({ timings }) => timings.total);
    expect(result.secondsPerStep).toBeCloseTo(seconds.reduce((sum, one) => sum + one, 0) / 4, 12);
    expect(result.peakMemory.node).toBeGreaterThan(10e6);
    expect(worker.open).toBe(0);
  });

  it("encodes the next step's prompts while this one is sampled", async () => {
    const { worker } = await runFake(set.config("ahead"));
    const methods = methodsOf(worker, ["images", "describe"]);
    expect(methods.filter((method) => method === "encode").length).toBe(4);
    // The worker answers in order of arrival: the second step's prompts are there before the first update.
    expect(methods.indexOf("encode", methods.indexOf("encode") + 1)).toBeLessThan(methods.indexOf("save"));
  });

  it("fills the run folder", async () => {
    const config = set.config("folder", { report_to: "tensorboard", val_split_ratio: 0.25 });
    await runFake(config);
    expect(readdirSync(config.output_dir!).sort()).toEqual([
      "checkpoints",
      "config.resolved.yaml",
      "environment.json",
      "evals",
      "events.jsonl",
      "images",
      "metrics.jsonl",
      "model",
      "rollouts",
      "tensorboard",
      "timings.jsonl",
    ]);
    const run = await openRun(config.output_dir!);
    expect(run.status).toBe("closed");
    expect(await run.config()).toMatchObject({ prompts_per_step: 3, epsilon_high: 0.2, reward_weights: [1, 1] });
    expect(await run.environment()).toMatchObject({
      node: process.version,
      model: { family: "fake" },
      prompt: { template: "scoring", digest: expect.any(String) as string },
      rows: { train: 6, heldOut: 2 },
      fingerprint: { "config.seed": "42", "version.runtime": "fake" },
    });
    expect((await run.metrics()).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect((await run.timings()).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect((await run.checkpoints()).map(({ step }) => step)).toEqual([2, 4]);
    expect(await run.rolloutSteps()).toEqual([1, 2, 3, 4]);
    expect(await run.evaluationSteps()).toEqual([0, 4]);
    expect((await run.events()).map(({ type }) => type)).toEqual([
      "run-start",
      "eval-end",
      "checkpoint-end",
      "eval-end",
      "checkpoint-end",
      "run-end",
    ]);
  });

  it("writes every completion with its rewards, and a small copy of each picture once", async () => {
    const config = set.config("rollouts");
    await runFake(config);
    const run = await openRun(config.output_dir!);
    const records = await run.rollouts(1);
    expect(records.length).toBe(12);
    const { text, images, row, ...record } = records[5]!;
    expect(text).toMatch(/^<think>fine<\/think><answer>[1-5]\.\d\d<\/answer>$/);
    expect(record).toEqual({
      seq: 5,
      type: "rollout",
      step: 1,
      dataset: "tiny",
      mos: 1 + Number(row) / 2,
      prompt: 1,
      sample: 1,
      tokens: 41,
      finish: "stop",
      parse: "ok",
      score: Number(/<answer>(.*)</.exec(String(text))![1]),
      reward: expect.any(Number) as number,
      rewards: { fidelity: expect.any(Number) as number, format: 1 },
      version: 2,
      rollout: 1,
      completions: 12,
      fidelity_warmup: null,
      kl_penalty: null,
      source: { file: 0, line: Number(row) + 1 },
      token_ids: expect.any(Array) as number[],
      advantage: expect.any(Number) as number,
    });
    expect(record["token_ids"]).toHaveLength(41);
    const { fidelity } = record["rewards"] as { fidelity: number };
    expect(record["reward"]).toBe(fidelity + 1);

    const shown = new Set<string>();
    for (const step of [1, 2, 3, 4]) {
      for (const one of await run.rollouts(step)) for (const key of one["images"] as string[]) shown.add(key);
    }
    expect((images as string[]).length).toBe(1);
    expect(readdirSync(join(config.output_dir!, "images")).sort()).toEqual(
      [...shown].map((key) => `${key}.webp`).sort(),
    );
  });

  it("writes neither completions nor pictures when log_completions is off", async () => {
    const config = set.config("unlogged", { log_completions: false });
    await runFake(config);
    expect(readdirSync(config.output_dir!)).not.toContain("rollouts");
    expect(readdirSync(config.output_dir!)).not.toContain("images");
  });

  it("gives the same run for the same seed and another one for another", async () => {
    const record = async (name: string, seed: number): Promise<string[]> => {
      const config = set.config(name, { seed });
      await runFake(config);
      return ["metrics.jsonl", "rollouts/step_000004.jsonl"].map((file) =>
        readFileSync(join(config.output_dir!, file), "utf8"),
      );
    };
    const first = await record("seed-1", 1);
    expect(await record("seed-1-again", 1)).toEqual(first);
    const second = await record("seed-2", 2);
    expect(second[0]).not.toBe(first[0]);
    expect(second[1]).not.toBe(first[1]);
  });
});

describe("stopping a run", () => {
  it("finishes the step under way, saves it, exports and says so", async () => {
    const worker = createFakeWorker();
    const run = train(set.config("stop", { save_steps: 50 }), { connect: worker.connect });
    const events: TrainerEvent[] = [];
    for await (const event of run) {
      events.push(event);
      if (event.type === "rollout-end" && event.step === 2) void run.stop();
    }
    expect(withoutProgress(events).slice(-3)).toEqual(["step-end 2", "checkpoint-end 2", "run-end 2"]);
    expect(await run.result).toMatchObject({ step: 2, steps: 4, reason: "stopped" });
    expect(methodsOf(worker).slice(-4)).toEqual(["forwardBackward", "optimStep", "save", "export"]);
    expect(worker.open).toBe(0);
  });

  it("does not save a step twice", async () => {
    const worker = createFakeWorker();
    const run = train(set.config("stop-saved"), { connect: worker.connect });
    for await (const event of run) if (event.type === "checkpoint-end" && event.step === 2) void run.stop();
    expect((await run.result).step).toBe(2);
    expect(methodsOf(worker).filter((method) => method === "save").length).toBe(1);
  });

  it("before the first step writes no weights: they would be the starting checkpoint's", async () => {
    const worker = createFakeWorker();
    const run = train(set.config("stop-early"), { connect: worker.connect });
    expect(await run.stop()).toMatchObject({
      step: 0,
      reason: "stopped",
      metrics: null,
      secondsPerStep: 0,
      model: null,
    });
    expect(methodsOf(worker).filter((method) => ["save", "export"].includes(method))).toEqual([]);
    const again = await runFake(set.config("stop-early", { overwrite_output_dir: true }));
    expect(again.result.step).toBe(4);
  });

  it("is what leaving an `await using` block does", async () => {
    const worker = createFakeWorker();
    {
      await using run = train(set.config("disposed"), { connect: worker.connect });
      for await (const event of run) if (event.type === "step-end") break;
    }
    expect(worker.open).toBe(0);
    expect(methodsOf(worker).slice(-2)).toEqual(["save", "export"]);
  });
});

describe("aborting a run", () => {
  const reason = new Error("enough");

  it("rejects with the signal's reason, closes the worker and says so in the log", async () => {
    const worker = createFakeWorker();
    const abort = new AbortController();
    const config = set.config("aborted", { save_steps: 1 });
    const run = train(config, { connect: worker.connect, signal: abort.signal });
    const iterate = async (): Promise<void> => {
      for await (const event of run) if (event.type === "step-end" && event.step === 2) abort.abort(reason);
    };
    await expect(iterate()).rejects.toBe(reason);
    await expect(run.result).rejects.toBe(reason);
    expect(worker.open).toBe(0);
    const log = await openRun(config.output_dir!);
    expect((await log.events()).at(-1)).toMatchObject({ type: "run-end", reason: "aborted" });
    expect(log.status).toBe("closed");
  });

  it.each(["load", "generate", "forwardBackward"])("in the middle of %s rejects with the reason", async (method) => {
    const worker = createFakeWorker();
    const abort = new AbortController();
    const connect = meddle(worker, {
      async before(called) {
        if (called !== method) return;
        setImmediate(() => abort.abort(reason));
        await turn();
        await turn();
      },
    });
    const run = train(set.config(`aborted-${method}`), { connect, signal: abort.signal });
    await expect(run.result).rejects.toBe(reason);
    expect(worker.open).toBe(0);
  });

  it("before it began starts no worker", async () => {
    const worker = createFakeWorker();
    const run = train(set.config("never"), { connect: worker.connect, signal: AbortSignal.abort(reason) });
    await expect(run.result).rejects.toBe(reason);
    expect(worker.calls).toEqual([]);
  });

  it("leaves no listener on the signal behind", async () => {
    const abort = new AbortController();
    await runFake(set.config("listeners"), { signal: abort.signal });
    expect(getEventListeners(abort.signal, "abort")).toEqual([]);
  });
});

describe("a reader of events", () => {
  it("that is slow holds nothing up", async () => {
    const worker = createFakeWorker();
    const run = train(set.config("slow"), { connect: worker.connect });
    const events: TrainerEvent[] = [];
    for await (const event of run) {
      if (events.length === 0) await run.result;
      events.push(event);
    }
    expect(withoutProgress(events).at(-1)).toBe("run-end 4");
    expect(eventsOf(events, "step-end").length).toBe(4);
  });

  it("is not needed", async () => {
    const worker = createFakeWorker();
    expect((await train(set.config("unread"), { connect: worker.connect }).result).step).toBe(4);
  });
});

describe("a run that fails", () => {
  it("rejects with the worker's error, keeps its checkpoints and closes the worker", async () => {
    const worker = createFakeWorker();
    let updates = 0;
    const connect = meddle(worker, {
      before(method) {
        if (method === "optimStep" && ++updates === 3) throw new Error("the cable was pulled");
      },
    });
    const config = set.config("failed");
    await expect(train(config, { connect }).result).rejects.toThrow("the cable was pulled");
    expect(worker.open).toBe(0);
    const log = await openRun(config.output_dir!);
    expect((await log.checkpoints()).map(({ step }) => step)).toEqual([2]);
    expect((await log.events()).at(-1)).toMatchObject({
      type: "run-end",
      step: 2,
      reason: "failed",
      code: null,
      message: "the cable was pulled",
    });
  });

  it("with its worker says from which step it can be resumed", async () => {
    const died = new WorkerError("WORKER_DIED", "the worker ended with signal SIGKILL", { fields: { how: "SIGKILL" } });
    const failAt = (name: string, update: number): Promise<unknown> => {
      let updates = 0;
      const connect = meddle(createFakeWorker(), {
        before(method) {
          if (method === "optimStep" && ++updates === update) throw died;
        },
      });
      return train(set.config(name), { connect }).result.catch((error: unknown) => error);
    };
    expect(await failAt("died-late", 4)).toMatchObject({
      name: "WorkerError",
      code: "WORKER_DIED",
      message: `${died.message}\nThe run can be resumed from step 2 (resume_from_checkpoint).`,
      fields: { how: "SIGKILL" },
      cause: died,
    });
    expect(await failAt("died-early", 1)).toMatchObject({
      message: `${died.message}\nNo checkpoint to go on from was taken.`,
    });
  });

  it("says which picture of which row broke", async () => {
    const broken = await createDataSet();
    const worker = createFakeWorker();
    const config = broken.config("broken", { max_steps: 4 });
    writeFileSync(join(broken.images, "picture_5.png"), "no picture");
    await expect(train(config, { connect: worker.connect }).result).rejects.toMatchObject({
      name: "DataError",
      code: "DATA_IMAGE_BROKEN",
      message: expect.stringMatching(/picture_5\.png.* belongs to row 5, line 6 of data file 1\.$/) as string,
      fields: { row: "5", line: 6 },
    });
    expect(worker.open).toBe(0);
    broken.remove();
  });
});
