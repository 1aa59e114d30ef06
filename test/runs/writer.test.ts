import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { createRun, openRun, resumeRun, type RunWriter } from "../../src/runs/index.js";
import { inChild, temporaryFolder, tickingClock } from "./temporary.js";

const start = { config: { seed: 7, reward_funcs: ["fidelity", "format"] }, environment: { node: "20.19.0" } };

function writeStep(run: RunWriter, step: number): void {
  run.event({ type: "step-start", step });
  run.metrics(step, { reward: step / 4, kl: null });
  run.timings(step, { seconds: 1.5 });
  run.rollouts(step, [{ completion: `step ${step}` }, { completion: "zwei" }]);
  run.event({ type: "step-end", step });
}

const logs = ["events.jsonl", "metrics.jsonl", "timings.jsonl"];

function contents(folder: string, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

describe("a new run", () => {
  it("writes every file in the documented form", async () => {
    const folder = join(temporaryFolder(), "run");
    const run = await createRun({ folder, ...start, now: tickingClock(), tensorboard: false });
    writeStep(run, 1);
    run.evaluation(1, [{ id: "a", score: 3.5 }]);
    await run.close();
    expect(contents(folder, [...logs, "config.resolved.yaml", "environment.json"])).toEqual({
      "events.jsonl":
        '{"seq":0,"time":"2026-01-01T00:00:01.000Z","type":"step-start","step":1}\n' +
        '{"seq":1,"time":"2026-01-01T00:00:03.000Z","type":"step-end","step":1}\n',
      "metrics.jsonl": '{"seq":0,"type":"metrics","step":1,"reward":0.25,"kl":null}\n',
      "timings.jsonl": '{"seq":0,"time":"2026-01-01T00:00:02.000Z","type":"timings","step":1,"seconds":1.5}\n',
      "config.resolved.yaml": "seed: 7\nreward_funcs:\n  - fidelity\n  - format\n",
      "environment.json": '{\n  "node": "20.19.0"\n}\n',
    });
    expect(readFileSync(join(folder, "rollouts/step_000001.jsonl"), "utf8")).toBe(
      '{"seq":0,"type":"rollout","step":1,"completion":"step 1"}\n{"seq":1,"type":"rollout","step":1,"completion":"zwei"}\n',
    );
    expect(readFileSync(join(folder, "evals/step_000001.jsonl"), "utf8")).toBe(
      '{"seq":0,"type":"evaluation","step":1,"id":"a","score":3.5}\n',
    );
    expect(existsSync(join(folder, "tensorboard"))).toBe(false);
  });

  it("refuses a folder that holds a run, and replaces only what belongs to a run when asked to", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "notes.txt"), "mine");
    const first = await createRun({ folder, ...start });
    writeStep(first, 1);
    await first.close();
    await expect(createRun({ folder, ...start })).rejects.toMatchObject({ name: "RunError", code: "RUN_EXISTS" });

    const second = await createRun({ folder, ...start, overwrite: true });
    await second.close();
    expect(readFileSync(join(folder, "metrics.jsonl"), "utf8")).toBe("");
    expect(existsSync(join(folder, "rollouts"))).toBe(false);
    expect(readFileSync(join(folder, "notes.txt"), "utf8")).toBe("mine");
  });

  it("refuses numbers that are not finite, names the metric, and writes nothing of that step", async () => {
    const run = await createRun({ folder: temporaryFolder(), ...start });
    expect(() => run.metrics(3, { reward: 1, grad_norm: Number.NaN })).toThrowError(
      /metric "grad_norm" of step 3 is NaN/,
    );
    expect(() => run.metrics(3, { step: 3 })).toThrowError(/cannot name a metric/);
    await run.close();
    expect(readFileSync(join(run.folder, "metrics.jsonl"), "utf8")).toBe("");
  });

  it("cannot be written after it was closed", async () => {
    const run = await createRun({ folder: temporaryFolder(), ...start });
    await run.close();
    await run.close();
    expect(() => run.event({ type: "late" })).toThrowError(expect.objectContaining({ code: "RUN_CLOSED" }));
  });

  it("stores a picture once, at most 512 pixels on its longer side, without enlarging", async () => {
    const run = await createRun({ folder: temporaryFolder(), ...start });
    const large = { width: 1024, height: 256, data: new Uint8Array(1024 * 256 * 3).fill(200) };
    const small = { width: 20, height: 10, data: new Uint8Array(20 * 10 * 3) };
    void run.image("large", large);
    void run.image("large", small);
    void run.image("small", small);
    await expect(run.image("../up", small)).rejects.toMatchObject({ code: "RUN_RECORD_INVALID" });
    await run.close();
    expect(readdirSync(join(run.folder, "images")).sort()).toEqual(["large.webp", "small.webp"]);
    expect(await sharp(join(run.folder, "images/large.webp")).metadata()).toMatchObject({ width: 512, height: 128 });
    expect(await sharp(join(run.folder, "images/small.webp")).metadata()).toMatchObject({ width: 20, height: 10 });
  });

  it("says what to do when the folder cannot be made", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    await expect(createRun({ folder: join(file, "run"), ...start })).rejects.toMatchObject({
      name: "RunError",
      code: "RUN_WRITE_FAILED",
      message: expect.stringContaining("choose another output_dir"),
    });
  });

  it("tells the disk of every file that was written, and names one that is gone", async () => {
    const written = ["config.resolved.yaml", "environment.json", ...logs, "rollouts/step_000001.jsonl"];
    for (const name of [...written, "evals/step_000001.jsonl"]) {
      const run = await createRun({ folder: temporaryFolder(), ...start });
      writeStep(run, 1);
      run.evaluation(1, []);
      rmSync(join(run.folder, name));
      await expect(run.sync()).rejects.toMatchObject({
        code: "RUN_WRITE_FAILED",
        message: expect.stringContaining(name) as string,
      });
      await run.close();
    }
  });

  it("cuts a line that did not fit on the disk, so that the log stays readable", async () => {
    const folder = join(temporaryFolder(), "run");
    const child = inChild(
      `const run = await runs.createRun({ folder: ${JSON.stringify(folder)}, config: {}, environment: {} });
       run.metrics(1, { reward: 1 });
       try { run.event({ type: "big", text: "x".repeat(100_000) }); } catch (error) { console.log(error.code, error.cause.code); }
       run.event({ type: "small" });
       await run.close();`,
      "ulimit -f 16;",
    );
    expect(child).toEqual({ status: 0, signal: null, output: "RUN_WRITE_FAILED EFBIG\n" });
    expect((await (await openRun(folder)).events()).map(({ seq, type }) => [seq, type])).toEqual([[0, "small"]]);
  });
});

describe("one folder, one writer", () => {
  it("refuses a second writer while the first is open, and names its process", async () => {
    const run = await createRun({ folder: temporaryFolder(), ...start });
    const second = resumeRun({ folder: run.folder, step: 0 });
    await expect(second).rejects.toMatchObject({ code: "RUN_IN_USE", fields: { pid: process.pid } });
    await run.close();
    await (await resumeRun({ folder: run.folder, step: 0 })).close();
  });
});

describe("a resumed run", () => {
  it("leaves the files an uninterrupted run leaves, after a kill a step later with a torn line", async () => {
    const [whole, killed] = [join(temporaryFolder(), "whole"), join(temporaryFolder(), "killed")];
    const straight = await createRun({ folder: whole, ...start, now: () => new Date(0) });
    for (const step of [1, 2, 3, 4]) writeStep(straight, step);
    await straight.close();

    const child = inChild(`
      ${writeStep.toString()}
      const run = await runs.createRun({ folder: ${JSON.stringify(killed)}, ...${JSON.stringify(start)}, now: () => new Date(0) });
      for (const step of [1, 2, 3]) writeStep(run, step);
      process.kill(process.pid, "SIGKILL");`);
    expect(child.signal).toBe("SIGKILL");
    expect((await openRun(killed)).status).toBe("interrupted");
    for (const name of logs) appendFileSync(join(killed, name), '{"seq":99,"st');

    const resumed = await resumeRun({ folder: killed, step: 2, now: () => new Date(0) });
    for (const step of [3, 4]) writeStep(resumed, step);
    await resumed.close();

    const all = readdirSync(whole, { recursive: true, encoding: "utf8" }).sort();
    expect(readdirSync(killed, { recursive: true, encoding: "utf8" }).sort()).toEqual(all);
    const files = all.filter((name) => name.includes("."));
    expect(contents(killed, files)).toEqual(contents(whole, files));
  });

  it("removes events by the step they belong to, whatever their order, and later rollouts", async () => {
    const folder = temporaryFolder();
    const run = await createRun({ folder, ...start });
    run.event({ type: "run-start" });
    run.event({ type: "step-start", step: 2 });
    run.event({ type: "step-start", step: 3 });
    run.event({ type: "note of step 3" });
    run.event({ type: "checkpoint-end", step: 2 });
    run.event({ type: "note of step 2" });
    run.rollouts(2, []);
    run.rollouts(3, []);
    await run.close();
    await (await resumeRun({ folder, step: 2 })).close();
    const events = await (await openRun(folder)).events();
    expect(events.map(({ type }) => type)).toEqual(["run-start", "step-start", "checkpoint-end", "note of step 2"]);
    expect(readdirSync(join(folder, "rollouts"))).toEqual(["step_000002.jsonl"]);
  });

  it("sets later checkpoints aside and deletes drafts", async () => {
    const folder = temporaryFolder();
    await (await createRun({ folder, ...start })).close();
    for (const name of ["step_000002", "step_000004", "step_000006.partial"]) {
      mkdirSync(join(folder, "checkpoints", name), { recursive: true });
    }
    const run = await resumeRun({ folder, step: 2 });
    await run.close();
    expect(run.superseded).toEqual(["step_000004.superseded"]);
    expect(readdirSync(join(folder, "checkpoints")).sort()).toEqual(["step_000002", "step_000004.superseded"]);
  });

  it("refuses a folder without a run", async () => {
    await expect(resumeRun({ folder: temporaryFolder(), step: 1 })).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
  });

  it("cuts off zeros that a power cut left where later lines were", async () => {
    const folder = temporaryFolder();
    const run = await createRun({ folder, ...start });
    writeStep(run, 1);
    await run.close();
    const intact = contents(folder, logs);
    for (const name of logs) {
      appendFileSync(join(folder, name), Buffer.alloc(40));
      appendFileSync(join(folder, name), '"step":2}\n');
    }
    await (await resumeRun({ folder, step: 1 })).close();
    expect(contents(folder, logs)).toEqual(intact);
  });

  it("names file and line of a log that was damaged in the middle", async () => {
    const folder = temporaryFolder();
    await (await createRun({ folder, ...start })).close();
    writeFileSync(join(folder, "metrics.jsonl"), '{"seq":0,"step":1}\n{"seq":1,\n{"seq":2,"step":3}\n');
    await expect(resumeRun({ folder, step: 1 })).rejects.toMatchObject({
      code: "RUN_LOG_DAMAGED",
      fields: { path: join(folder, "metrics.jsonl"), line: 2 },
    });
  });
});
