import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRun, train } from "../../src/index.js";
import type { ConfigInput } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakePrompt } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { meddle, runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

/** Completions that depend on everything a resume could get wrong. */
const complete = ({ draw, version, text }: FakePrompt): string =>
  `<think>${version} ${text.length}</think><answer>${(1 + ((4 * draw + version / 3) % 4)).toFixed(2)}</answer>`;

/** All of a finished run that must not depend on interruptions. */
function recordOf({ output_dir: folder }: ConfigInput): unknown {
  const read = (name: string): string => readFileSync(join(folder!, name), "utf8");
  const all = (name: string): string[] =>
    readdirSync(join(folder!, name))
      .sort()
      .map((file) => read(`${name}/${file}`));
  return {
    metrics: read("metrics.jsonl"),
    rollouts: all("rollouts"),
    evaluations: all("evals"),
    worker: read("checkpoints/step_000006/state.json"),
    trainer: read("checkpoints/step_000006/trainer.json"),
    model: read("model/weight.json"),
  };
}

describe("a resumed run equals the uninterrupted one", () => {
  it.each([
    ["one update a batch", {}],
    ["two passes over each batch", { num_iterations: 2 }],
    ["two updates a pass", { prompts_per_step: 4, per_device_train_batch_size: 8, max_steps: 6 }],
    [
      "groups drawn again and dropped",
      { reward_funcs: "threshold", dynamic_sampling: true, drop_zero_variance_groups: true, num_iterations: 2 },
    ],
  ])("with %s, wherever it failed", async (name, more: Partial<ConfigInput>) => {
    const base = { val_split_ratio: 0.25, eval_steps: 2, save_steps: 2, max_steps: 6, prompts_per_step: 2, ...more };
    const whole = set.config(`whole ${name}`, base);
    await runFake(whole, {}, { complete });
    for (const failing of [3, 4, 5]) {
      const config = set.config(`${name} ${failing}`, base);
      let updates = 0;
      const connect = meddle(createFakeWorker({ complete }), {
        before(method) {
          if (method === "optimStep" && ++updates === failing) throw new Error("pulled");
        },
      });
      await expect(train(config, { connect }).result).rejects.toThrow("pulled");
      await runFake({ ...config, resume_from_checkpoint: true }, {}, { complete });
      expect(recordOf(config)).toEqual(recordOf(whole));
    }
  });

  it("when it was stopped, and stopped again", async () => {
    const base = { val_split_ratio: 0.25, eval_steps: 2, max_steps: 6, prompts_per_step: 2 };
    const whole = set.config("whole", base);
    await runFake(whole, {}, { complete });
    const config = set.config("stopped", base);
    for (const [stopAt, resume_from_checkpoint] of [
      [1, null],
      [3, true],
    ] as const) {
      const run = train({ ...config, resume_from_checkpoint }, { connect: createFakeWorker({ complete }).connect });
      for await (const event of run) if (event.type === "rollout-end" && event.step === stopAt) void run.stop();
      expect((await run.result).step).toBe(stopAt);
    }
    await runFake({ ...config, resume_from_checkpoint: true }, {}, { complete });
    expect(recordOf(config)).toEqual(recordOf(whole));
  });

  it("in its alarms", async () => {
    const silent = { complete: () => "no answer at all" };
    const config = set.config("alarms");
    let updates = 0;
    const connect = meddle(createFakeWorker(silent), {
      before(method) {
        if (method === "optimStep" && ++updates === 4) throw new Error("pulled");
      },
    });
    await expect(train(config, { connect }).result).rejects.toThrow("pulled");
    await runFake({ ...config, resume_from_checkpoint: true }, {}, silent);
    const alarms = (await (await openRun(config.output_dir!)).events()).filter(({ type }) => type === "alarm");
    expect(alarms.map(({ step, name }) => [step, name])).toEqual([
      [1, "parse-failures"],
      [1, "zero-variance"],
    ]);
  });
});
