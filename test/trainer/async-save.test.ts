/** Checkpoints that are written while training goes on: what counts when, and what is left when it goes wrong. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WorkerError } from "../../src/errors.js";
import { defineReward, openRun, train } from "../../src/index.js";
import type { ConfigInput, RewardRecord, TrainerEvent, TrainOptions } from "../../src/index.js";
import { verifyCheckpoint } from "../../src/runs/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, meddle, methodsOf, runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

const configOf = (name: string, more: Partial<ConfigInput> = {}): ConfigInput =>
  set.config(name, { async_save: true, save_steps: 1, ...more });

/** Opens when it is told to. */
function createGate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

/** Holds up the n-th write of a checkpoint. */
function holding(number: number, until: () => Promise<void>): NonNullable<TrainOptions["connect"]> {
  let writes = 0;
  return meddle(createFakeWorker(), {
    async before(method) {
      if (method === "writeSnapshot" && ++writes === number) await until();
    },
  });
}

const checkpointsOf = (config: ConfigInput): string[] => readdirSync(join(config.output_dir!, "checkpoints")).sort();

/** All of a finished run that must not depend on how it was saved. */
function recordOf(config: ConfigInput): string[] {
  const steps = ["step_000003.jsonl", "step_000004.jsonl"].map((name) => `rollouts/${name}`);
  const state = ["state.json", "trainer.json"].map((name) => `checkpoints/step_000004/${name}`);
  const files = ["metrics.jsonl", "model/weight.json", ...steps, ...state];
  return files.map((file) => readFileSync(join(config.output_dir!, file), "utf8"));
}

describe("a run that saves while it trains", () => {
  it("is the run that waits, with the same checkpoints; the last one is taken at once", async () => {
    const [waiting, beside] = [set.config("waiting", { save_steps: 1, async_save: false }), configOf("beside")];
    const plain = await runFake(waiting);
    const { worker, events } = await runFake(beside);
    const saving = methodsOf(worker).filter((method) => ["save", "snapshot", "writeSnapshot"].includes(method));
    expect(saving).toEqual([...Array.from({ length: 3 }, () => ["snapshot", "writeSnapshot"]).flat(), "save"]);
    expect(recordOf(beside)).toEqual(recordOf(waiting));
    const saved = (all: readonly TrainerEvent[]): unknown[] =>
      eventsOf(all, "checkpoint-end").map(({ step, digests }) => [step, digests]);
    expect(saved(events)).toEqual(saved(plain.events));
    expect(saved(events).length).toBe(4);
    for (const name of checkpointsOf(beside)) await verifyCheckpoint(join(beside.output_dir!, "checkpoints", name));
  });

  it("tells of a checkpoint and deletes older ones when it is complete, and has one under way at a time", async () => {
    const config = configOf("slow", { save_total_limit: 1 });
    const gate = createGate();
    let seen: string[] = [];
    const told: string[] = [];
    const callbacks: TrainOptions["callbacks"] = {
      onSave: ({ step }) => void told.push(`save ${step}`),
      onStep: ({ step }) => void told.push(`step ${step}`),
    };
    const run = train(config, { connect: holding(2, () => gate.opened), callbacks });
    for await (const event of run) {
      if (event.type !== "rollout-end" || event.step !== 3) continue;
      // The third step has its completions while the checkpoint of the second is being written.
      seen = checkpointsOf(config);
      gate.open();
    }
    await run.result;
    expect(seen).toEqual(["step_000001", "step_000002.partial"]);
    expect(checkpointsOf(config)).toEqual(["step_000004"]);
    expect(told.indexOf("save 2")).toBeGreaterThan(told.indexOf("step 3"));
    expect(told.filter((one) => one.startsWith("save"))).toEqual(["save 1", "save 2", "save 3", "save 4"]);
  });

  it("that is stopped waits for what is being written", async () => {
    const config = configOf("stopped", { save_steps: 2 });
    const run = train(config, { connect: holding(1, async () => new Promise((end) => setTimeout(end, 100))) });
    for await (const event of run) if (event.type === "step-end" && event.step === 2) void run.stop();
    expect(await run.result).toMatchObject({ step: 2, reason: "stopped" });
    expect(checkpointsOf(config)).toEqual(["step_000002"]);
  });
});

describe("when it goes wrong, the last good checkpoint stays:", () => {
  /** Goes on to the end, and is then the run that nothing happened to. */
  async function resumes(config: ConfigInput, rewards?: RewardRecord): Promise<void> {
    await runFake({ ...config, resume_from_checkpoint: true }, rewards && { rewards });
    const whole = set.config(`${config.output_dir!.split("/").at(-1)} whole`, { save_steps: 1 });
    await runFake(whole, rewards && { rewards });
    expect(recordOf(config)).toEqual(recordOf(whole));
  }

  it("the disk is full", async () => {
    const config = configOf("full");
    const cause = new WorkerError("WRITE_FAILED", "cannot write weights: No space left on device. Free space.");
    const connect = holding(2, () => Promise.reject(cause));
    await expect(train(config, { connect }).result).rejects.toMatchObject({
      code: "RUN_WRITE_FAILED",
      cause,
      message: `${cause.message} Then resume the run.`,
    });
    expect(checkpointsOf(config)).toEqual(["step_000001"]);
    await resumes(config);
  });

  it("a step fails while one is being written, which is then completed", async () => {
    const config = configOf("failed");
    const paying = (broken: boolean): RewardRecord => ({
      length: defineReward({
        name: "length",
        score({ completion, step }) {
          if (broken && step === 3) throw new Error("no judge in town");
          return completion.text.length;
        },
      }),
    });
    const connect = holding(2, async () => new Promise((end) => setTimeout(end, 200)));
    await expect(train(config, { connect, rewards: paying(true) }).result).rejects.toMatchObject({
      code: "REWARD_THREW",
    });
    expect(checkpointsOf(config)).toEqual(["step_000001", "step_000002"]);
    const log = await (await openRun(config.output_dir!)).events();
    expect(log.filter(({ type }) => type === "checkpoint-end").map(({ step }) => step)).toEqual([1, 2]);
    await resumes(config, paying(false));
  });

  it("the worker ends while it writes", async () => {
    const config = configOf("died", { save_steps: 2 });
    const died = new WorkerError("WORKER_DIED", "the worker was ended.");
    const gate = createGate();
    const connect = meddle(createFakeWorker(), {
      async before(method, params) {
        if (method === "writeSnapshot") await gate.opened.then(() => Promise.reject(died));
        if (method !== "forwardBackward" || params["step"] !== 3) return;
        gate.open();
        throw died;
      },
    });
    const failure = (await train(config, { connect }).result.catch((error: unknown) => error)) as Error;
    expect(failure).toMatchObject({ code: "WORKER_DIED", cause: died });
    expect(failure.message).toBe("the worker was ended.\nNo checkpoint to go on from was taken.");
    expect(checkpointsOf(config)).toEqual([]);
  });

  it("it is to end now", async () => {
    const config = configOf("aborted");
    const abort = new AbortController();
    const reason = new Error("enough");
    const never = createGate();
    const worker = createFakeWorker();
    const connect = async () => {
      const held = await meddle(worker, {
        async before(method, params) {
          if (method === "writeSnapshot" && existsSync(join(config.output_dir!, "checkpoints/step_000001")))
            await never.opened;
          if (method === "forwardBackward" && params["step"] === 3) abort.abort(reason);
        },
      })();
      return {
        ...held,
        async close() {
          never.open();
          await held.close();
        },
      };
    };
    await expect(train(config, { connect, signal: abort.signal }).result).rejects.toBe(reason);
    expect(checkpointsOf(config)).toEqual(["step_000001"]);
    expect(worker.open).toBe(0);
  });
});
