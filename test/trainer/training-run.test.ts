import { describe, expect, it } from "vitest";
import { startRun } from "../../src/trainer/training-run.js";
import type { RunResult, TrainerEvent } from "../../src/trainer/events.js";

const RESULT = { step: 1 } as RunResult;
const start = (step: number): TrainerEvent => ({ type: "step-start", step, epoch: 0 });
const progress = (tokens: number): TrainerEvent => ({ type: "generate-progress", step: 1, tokens, finished: 0 });
const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function collect(run: AsyncIterable<TrainerEvent>): Promise<TrainerEvent[]> {
  const events: TrainerEvent[] = [];
  for await (const event of run) events.push(event);
  return events;
}

describe("a training run", () => {
  it("gives every iteration all events, also those that came before it", async () => {
    const run = startRun(async (control) => {
      control.emit(start(1));
      await pause();
      control.emit(start(2));
      return RESULT;
    });
    await pause();
    expect(await collect(run)).toEqual([start(1), start(2)]);
    expect(await collect(run)).toEqual([start(1), start(2)]);
    expect(await run.result).toBe(RESULT);
  });

  it("keeps the last thousand events for who comes late, and all for who is there", async () => {
    const run = startRun(async (control) => {
      await pause();
      for (let step = 1; step <= 1500; step += 1) control.emit(start(step));
      return RESULT;
    });
    expect(await collect(run)).toHaveLength(1500);
    const late = await collect(run);
    expect([late.length, late[0], late.at(-1)]).toEqual([1000, start(501), start(1500)]);
  });

  it("goes on when the reader leaves", async () => {
    const run = startRun(async (control) => {
      control.emit(start(1));
      for (let step = 2; step < 5; step += 1) {
        await pause();
        control.emit(start(step));
      }
      return RESULT;
    });
    for await (const _event of run) break;
    expect(await run.result).toBe(RESULT);
    expect((await collect(run)).length).toBe(4);
  });

  it("replaces unread progress by newer progress and drops nothing else", async () => {
    let resume = (): void => undefined;
    const held = new Promise<void>((resolve) => (resume = resolve));
    const run = startRun(async (control) => {
      await held;
      control.emit(start(1));
      control.emit(progress(1));
      control.emit(progress(2));
      control.emit(start(2));
      return RESULT;
    });
    const seen = collect(run);
    await pause();
    resume();
    expect(await seen).toEqual([start(1), progress(2), start(2)]);
  });

  it("reports a failure to the reader and to result, and not as an unhandled rejection", async () => {
    const run = startRun(async (control) => {
      control.emit(start(1));
      await pause();
      throw new Error("broken");
    });
    await expect(collect(run)).rejects.toThrow("broken");
    await expect(run.result).rejects.toThrow("broken");
  });

  it("asks the body to stop and waits for it", async () => {
    const run = startRun(async (control) => {
      while (!control.stopping.aborted) await pause();
      return RESULT;
    });
    expect(await run.stop()).toBe(RESULT);
  });

  it("is no promise: returning it from an async function does not wait for the training", async () => {
    const make = async () => startRun(() => new Promise<RunResult>(() => undefined));
    expect("then" in (await make())).toBe(false);
  });
});
