/** Two batches at hand: one with the model, one being read; and no more than that. */
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker } from "../../src/testing/index.js";
import { createMetric } from "../../src/trainer/index.js";
import type { Metric, Rating } from "../../src/trainer/index.js";
import { meddle } from "../support/fake-run.js";

const RGB = fileURLToPath(new URL("../golden/decode/rgb.png", import.meta.url));
const GREY = fileURLToPath(new URL("../golden/decode/grey.png", import.meta.url));

interface Held {
  readonly metric: Metric;
  readonly worker: FakeWorker;
  /** Lets the model answer so many times more. */
  readonly answer: (times: number) => void;
  /** Resolves when the worker was asked so often. */
  readonly asked: (method: string, times: number) => Promise<void>;
}

/** A metric whose model answers when it is told to. */
async function open(): Promise<Held> {
  const worker = createFakeWorker({ complete: () => "<answer>3</answer>" });
  const waiting: (() => void)[] = [];
  let allowed = 0;
  const answer = (times: number): void => {
    allowed += times;
    while (allowed > 0 && waiting.length > 0) {
      allowed -= 1;
      waiting.shift()!();
    }
  };
  const connect = meddle(worker, {
    before: async (method) => {
      if (method !== "generate") return;
      if (allowed > 0) allowed -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
    },
  });
  const metric = await createMetric({ model: "fake", mode: "greedy", connect });
  const count = (method: string): number => worker.calls.filter((call) => call.method === method).length;
  return {
    metric,
    worker,
    answer,
    async asked(method, times) {
      while (count(method) < times) await sleep(1);
    },
  };
}

async function ratingsOf(ratings: AsyncIterable<Rating>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of ratings) ids.push(id);
  return ids;
}

/** Time in which what should not happen would have happened. */
const settle = (): Promise<void> => sleep(50);

describe("a stream of ratings", () => {
  it("reads the next batch while the model works on one, and keeps the order", async () => {
    const { metric, answer, asked } = await open();
    const rated = ratingsOf(metric.score([RGB, GREY, RGB, GREY, RGB], { batch: 2 }));
    await asked("encode", 4);
    answer(1);
    await asked("encode", 5);
    answer(2);
    expect(await rated).toEqual([RGB, GREY, RGB, GREY, RGB]);
    await metric.close();
  });

  it("takes two batches of inputs at most before ratings are taken", async () => {
    const { metric, answer } = await open();
    answer(Infinity);
    let taken = 0;
    function* inputs(): Generator<string> {
      for (; taken < 100;) {
        taken += 1;
        yield RGB;
      }
    }
    const ratings = metric.score(inputs(), { batch: 4 })[Symbol.asyncIterator]();
    await settle();
    expect(taken).toBe(0);
    const seen: number[] = [];
    for (let count = 0; count < 9; count += 1) {
      await ratings.next();
      await settle();
      seen.push(taken);
    }
    expect(seen).toEqual([8, 8, 8, 8, 12, 12, 12, 12, 16]);
    await ratings.return?.();
    await metric.close();
  });

  it("has no more than two batches at hand, however many streams there are", async () => {
    const { metric, worker, answer, asked } = await open();
    const streams = [1, 2, 3].map(() => ratingsOf(metric.score([RGB, GREY, RGB, GREY], { batch: 2 })));
    await asked("encode", 4);
    await settle();
    expect(worker.calls.filter(({ method }) => method === "encode")).toHaveLength(4);
    answer(6);
    expect(await Promise.all(streams)).toEqual(streams.map(() => [RGB, GREY, RGB, GREY]));
    // The worker keeps the pictures of the last two steps: a batch is asked about before the second one behind it is read.
    const order = worker.calls.flatMap(({ method }) => (method === "encode" || method === "generate" ? [method] : []));
    const ahead = order.map((_, index) => {
      const done = order.slice(0, index + 1);
      return (
        done.filter((method) => method === "encode").length - 2 * done.filter((method) => method !== "encode").length
      );
    });
    expect(Math.max(...ahead)).toBe(4);
    await metric.close();
  });

  it("ends with its signal's reason while one batch is with the model and one is read, and scores on afterwards", async () => {
    const { metric, answer, asked } = await open();
    const controller = new AbortController();
    const reason = new Error("enough");
    const rated = ratingsOf(metric.score([RGB, GREY, RGB, GREY], { batch: 2, signal: controller.signal }));
    await asked("encode", 4);
    controller.abort(reason);
    answer(1);
    await expect(rated).rejects.toBe(reason);
    answer(1);
    expect(await ratingsOf(metric.score([GREY]))).toEqual([GREY]);
    await metric.close();
  });

  it("is left at once, though the next input never comes, and asks about nothing more", async () => {
    const { metric, worker, answer } = await open();
    answer(1);
    async function* inputs(): AsyncGenerator<string> {
      yield RGB;
      yield GREY;
      await new Promise(() => undefined);
    }
    for await (const { id } of metric.score(inputs(), { batch: 2 })) {
      expect(id).toBe(RGB);
      break;
    }
    await settle();
    expect(worker.calls.filter(({ method }) => method === "generate")).toHaveLength(1);
    await metric.close();
  });

  it("gives the ratings it has before an error of its input", async () => {
    const { metric, answer } = await open();
    answer(1);
    function* inputs(): Generator<string> {
      yield RGB;
      yield GREY;
      throw new Error("no more film");
    }
    const ids: string[] = [];
    await expect(async () => {
      for await (const { id } of metric.score(inputs(), { batch: 2 })) ids.push(id);
    }).rejects.toThrow("no more film");
    expect(ids).toEqual([RGB, GREY]);
    await metric.close();
  });
});
