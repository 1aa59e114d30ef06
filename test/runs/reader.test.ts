import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createRun, findRuns, openRun, tail, type LogRecord } from "../../src/runs/index.js";
import { temporaryFolder } from "./temporary.js";

async function smallRun(folder: string): Promise<void> {
  await using run = await createRun({ folder, config: { seed: 1 }, environment: { torch: "2.13.0" } });
  run.event({ type: "run-start" });
  run.metrics(1, { reward: 1.25, kl: null });
  run.timings(1, { seconds: 2 });
  run.rollouts(1, [{ completion: "<answer>3</answer>" }]);
  run.evaluation(10, [{ id: "a" }]);
}

describe("openRun", () => {
  it("gives back what was written", async () => {
    const folder = temporaryFolder();
    await smallRun(folder);
    const run = await openRun(folder);
    expect(run.status).toBe("closed");
    expect(await run.config()).toEqual({ seed: 1 });
    expect(await run.environment()).toEqual({ torch: "2.13.0" });
    expect(await run.events()).toMatchObject([{ seq: 0, type: "run-start" }]);
    expect(await run.metrics()).toEqual([{ seq: 0, step: 1, values: { reward: 1.25, kl: null } }]);
    expect(await run.timings()).toEqual([{ seq: 0, step: 1, values: { seconds: 2 } }]);
    expect(await run.rollouts(1)).toEqual([{ seq: 0, type: "rollout", step: 1, completion: "<answer>3</answer>" }]);
    expect(await run.rollouts(2)).toEqual([]);
    expect(await run.rolloutSteps()).toEqual([1]);
    expect(await run.evaluationSteps()).toEqual([10]);
    expect(await run.evaluation(10)).toMatchObject([{ id: "a" }]);
    expect(await run.checkpoints()).toEqual([]);
  });

  it("leaves out a line that is still being written", async () => {
    const folder = temporaryFolder();
    await smallRun(folder);
    appendFileSync(join(folder, "metrics.jsonl"), '{"seq":1,"step":2,"rew');
    expect((await (await openRun(folder)).metrics()).map(({ step }) => step)).toEqual([1]);
  });

  it.each([
    ["environment.json", '{\n  "torch": "2.1', /Unterminated string/],
    ["environment.json", "[]\n", /it holds no fields/],
    ["config.resolved.yaml", "seed: [1\nreward: }", /Flow sequence/],
    ["config.resolved.yaml", "", /it holds no fields/],
  ])("names a damaged %s, and what to do: %j", async (name, content, reason) => {
    const folder = temporaryFolder();
    await smallRun(folder);
    writeFileSync(join(folder, name), content);
    const run = await openRun(folder);
    const read = name === "environment.json" ? run.environment() : run.config();
    const error: unknown = await read.catch((refused: unknown) => refused);
    expect(error).toMatchObject({
      name: "RunError",
      code: "RUN_FILE_DAMAGED",
      message: expect.stringMatching(reason) as string,
      fields: { path: join(folder, name) },
    });
    expect((error as Error).message).toMatch(/^\S+ is not what a run writes: .*: bring it back from a copy of the run/);
  });

  it("knows a run that is being written", async () => {
    await using run = await createRun({ folder: temporaryFolder(), config: {}, environment: {} });
    expect((await openRun(run.folder)).status).toBe("running");
  });

  it("cannot tell for a run of another machine", async () => {
    const folder = temporaryFolder();
    await smallRun(folder);
    writeFileSync(join(folder, "writer.json"), '{"pid":1,"host":"another","started":null}\n');
    expect((await openRun(folder)).status).toBe("unknown");
  });

  it("refuses a folder without a run", async () => {
    await expect(openRun(temporaryFolder())).rejects.toMatchObject({ name: "RunError", code: "RUN_NOT_FOUND" });
  });
});

describe("findRuns", () => {
  it("finds the runs in a folder by name, or the folder itself", async () => {
    const parent = temporaryFolder();
    await smallRun(join(parent, "b"));
    await smallRun(join(parent, "a"));
    mkdirSync(join(parent, "empty"));
    expect(await findRuns(parent)).toEqual([join(parent, "a"), join(parent, "b")]);
    expect(await findRuns(join(parent, "b"))).toEqual([join(parent, "b")]);
    await expect(findRuns(join(parent, "absent"))).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
  });
});

describe("tail", () => {
  async function* follow(path: string, restarts: string[] = []): AsyncGenerator<LogRecord> {
    const stop = new AbortController();
    try {
      yield* tail(path, { signal: stop.signal, interval: 5, onRestart: () => restarts.push("restart") });
    } finally {
      stop.abort();
    }
  }

  it("waits for the file, then yields each line once, when it is complete", async () => {
    const path = join(temporaryFolder(), "events.jsonl");
    const records = follow(path);
    const first = records.next();
    writeFileSync(path, '{"seq":0}\n{"seq"');
    expect((await first).value).toEqual({ seq: 0 });
    const second = records.next();
    appendFileSync(path, ":1}\n");
    expect((await second).value).toEqual({ seq: 1 });
    await records.return(undefined);
  });

  it("begins again when a resumed run has cut the file, even if it has grown past the old end", async () => {
    const path = join(temporaryFolder(), "events.jsonl");
    writeFileSync(path, '{"seq":0}\n{"seq":1,"of":"first"}\n');
    const restarts: string[] = [];
    const records = follow(path, restarts);
    expect([(await records.next()).value, (await records.next()).value]).toEqual([{ seq: 0 }, { seq: 1, of: "first" }]);
    writeFileSync(path, '{"seq":0}\n{"seq":1,"of":"second"}\n{"seq":2}\n');
    expect((await records.next()).value).toEqual({ seq: 0 });
    expect((await records.next()).value).toEqual({ seq: 1, of: "second" });
    expect(restarts).toEqual(["restart"]);
    await records.return(undefined);
  });

  it("ends at the signal while it waits", async () => {
    const path = join(temporaryFolder(), "events.jsonl");
    rmSync(path, { force: true });
    const stop = new AbortController();
    const records = tail(path, { signal: stop.signal, interval: 100_000 });
    const next = records.next();
    stop.abort();
    expect((await next).done).toBe(true);
  });
});
