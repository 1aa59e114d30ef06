/**
 * What goes wrong beside the model: each ends the run by name, or does not touch it; and the run that is started again by the
 * same command is the one that would have been. The faults of a real worker are in test/e2e/faults.test.ts.
 */
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { decodeMessage } from "../../src/bridge/index.js";
import { defineReward, openRun, train } from "../../src/index.js";
import type { ConfigInput, RewardRecord, TrainOptions } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, meddle, runFake, withResult } from "../support/fake-run.js";
import { tamperedWorker } from "../support/tampered-worker.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
  await runFake(configOf("whole"), { rewards: paying() });
});
afterAll(() => set.remove());

const configOf = (name: string): ConfigInput => ({ ...set.config(name), resume_from_checkpoint: "auto" });

/** Pays by length and draw; in step 3 it does what it is told, if anything. */
function paying(instead?: () => unknown): RewardRecord {
  const value = defineReward({
    name: "value",
    timeoutMs: 50,
    score: ({ completion, step }) =>
      step === 3 && instead !== undefined ? (instead() as number) : Number(completion.text.replace(/[^\d.]/g, "")),
  });
  return { value };
}

/** All of a finished run that must not depend on what happened on the way. */
function recordOf(name: string): unknown {
  const folder = configOf(name).output_dir!;
  const files = [
    "metrics.jsonl",
    "checkpoints/step_000004/state.json",
    "checkpoints/step_000004/trainer.json",
    "model/weight.json",
    ...readdirSync(join(folder, "rollouts")).map((file) => `rollouts/${file}`),
  ];
  return files.map((file) => readFileSync(join(folder, file), "utf8"));
}

/** The run fails with this code behind step 2, and started again without the fault it is the whole run. */
async function survives(
  name: string,
  code: string,
  options: TrainOptions,
  repair: () => void = () => undefined,
): Promise<void> {
  const faulty = { connect: createFakeWorker().connect, rewards: paying(), ...options };
  await expect(train(configOf(name), faulty).result).rejects.toMatchObject({ code });
  const log = await openRun(configOf(name).output_dir!);
  expect((await log.checkpoints()).map(({ step }) => step)).toEqual([2]);
  repair();
  await runFake(configOf(name), { rewards: paying() });
  expect(recordOf(name)).toEqual(recordOf("whole"));
}

describe("a reward in the middle of a run", () => {
  it.each([
    ["throws", "REWARD_THREW", () => Promise.reject(new Error("no judge in town"))],
    ["hangs", "REWARD_TIMEOUT", () => new Promise(() => undefined)],
    ["returns NaN", "REWARD_NOT_A_NUMBER", () => Number.NaN],
  ])("%s", async (name, code, instead) => {
    await survives(`reward ${name}`, code, { rewards: paying(instead) });
  });
});

it("a picture of the first pass that is corrupt is named, and its row trained on once it is repaired", async () => {
  const rows = await (await openRun(configOf("whole").output_dir!)).rollouts(3);
  const picture = join(set.images, `picture_${String(rows[0]!["row"])}.png`);
  renameSync(picture, `${picture}.good`);
  writeFileSync(picture, readFileSync(`${picture}.good`).subarray(0, 100));
  await survives("picture", "DATA_IMAGE_BROKEN", {}, () => renameSync(`${picture}.good`, picture));
});

describe("a loss or gradient that is not finite", () => {
  it("skips the update, which is counted and told; the run goes on, and resumes to the same", async () => {
    const diverging = (failing?: number): TrainOptions => {
      let updates = 0;
      const connect = meddle(createFakeWorker(), {
        before(method) {
          if (method === "optimStep" && ++updates === failing) throw new Error("pulled");
        },
        after(method, reply) {
          if (method === "forwardBackward" && reply.result["tokens"] !== 0 && updates === 1)
            return withResult(reply, { loss: Number.POSITIVE_INFINITY, policy_loss: Number.NaN });
          return method === "optimStep" && updates === 2
            ? withResult(reply, { grad_norm: Number.NaN, skipped: true })
            : reply;
        },
      });
      return { connect, rewards: paying() };
    };
    const { events } = await runFake(configOf("skipping"), diverging());
    const alarms = eventsOf(events, "alarm").filter(({ name }) => name === "update-skipped");
    expect(alarms.map(({ step }) => step)).toEqual([2]);
    const metrics = await (await openRun(configOf("skipping").output_dir!)).metrics();
    expect(metrics.map(({ values }) => values["update_skipped"])).toEqual([undefined, 1, undefined, undefined]);
    expect(metrics[1]!.values).toMatchObject({ loss: null, policy_loss: null, grad_norm: null });

    await expect(train(configOf("skipped"), diverging(4)).result).rejects.toThrow("pulled");
    await runFake(configOf("skipped"), { rewards: paying() });
    expect(recordOf("skipped")).toEqual(recordOf("skipping"));
  });
});

describe("memory that runs out", () => {
  it("makes parts smaller, once for the run: told, and remembered by the run that goes on", async () => {
    const tight = { memory: 300 };
    const { events, worker } = await runFake(configOf("tight"), { rewards: paying() }, tight);
    const told = eventsOf(events, "alarm").filter(({ name }) => name === "memory");
    expect(told.map(({ step }) => step)).toEqual([1]);
    const updates = (all: typeof worker): number => all.calls.filter(({ method }) => method === "discard").length;
    expect(updates(worker)).toBe(1);

    let steps = 0;
    const failing = meddle(createFakeWorker(tight), {
      before(method) {
        if (method === "optimStep" && ++steps === 4) throw new Error("pulled");
      },
    });
    await expect(train(configOf("tight-pulled"), { connect: failing, rewards: paying() }).result).rejects.toThrow();
    const resumed = await runFake(configOf("tight-pulled"), { rewards: paying() }, tight);
    expect(updates(resumed.worker)).toBe(0);
    expect(recordOf("tight-pulled")).toEqual(recordOf("tight"));
  });
});

describe("on the wire", () => {
  /** Changes the reply to the third update's pass. */
  function changing(change: (frames: Uint8Array[]) => Uint8Array[]): (frames: Uint8Array[]) => Uint8Array[][] {
    let passes = 0;
    return (frames) => {
      const isPass = decodeMessage(frames).params["policy_loss"] !== undefined;
      return [isPass && ++passes === 3 ? change(frames) : frames];
    };
  }

  it("a frame that is cut", async () => {
    const replies = changing(([magic, header]) => [magic!, header!.subarray(0, -3)]);
    await survives("cut", "BRIDGE_MALFORMED", { connect: tamperedWorker({ replies }) });
  });

  it("a message that is larger than may be", async () => {
    const replies = changing(([magic, header, ...rest]) => [magic!, header!, ...rest, new Uint8Array(2_000_000)]);
    const limits = { maxMessageBytes: 1_000_000 };
    await survives("oversized", "BRIDGE_MALFORMED", { connect: tamperedWorker({ replies, limits }) });
  });

  it("every message twice changes nothing", async () => {
    const twice = (frames: Uint8Array[]): Uint8Array[][] => [frames, frames];
    const connect = tamperedWorker({ requests: twice, replies: twice });
    await train(configOf("twice"), { connect, rewards: paying() }).result;
    expect(recordOf("twice")).toEqual(recordOf("whole"));
  });
});

describe("a clock that is set", () => {
  afterEach(() => void vi.useRealTimers());

  it("back and forth in every step changes nothing", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const day = 86_400_000;
    let jumps = 0;
    const connect = meddle(createFakeWorker(), {
      before: () => void vi.setSystemTime(Date.now() + (++jumps % 2 === 0 ? 2 * day : -3 * day)),
    });
    await train(configOf("clock"), { connect, rewards: paying() }).result;
    expect(jumps).toBeGreaterThan(20);
    expect(recordOf("clock")).toEqual(recordOf("whole"));
  });
});
