/**
 * `fidelity_warmup` in whole runs: what is paid, what is recorded, and that resuming changes nothing.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defineReward, openRun, train } from "../../src/index.js";
import type { ConfigInput, TrainOptions } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakePrompt } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, meddle, runFake } from "../support/fake-run.js";

/** Updates after which the fake model ranks; before, it answers at random. */
const RANKS_FROM = 6;
const STEPS = 20;

let set: DataSet;
beforeAll(async () => {
  // Questions that tell the label, so that a fake model can know it.
  set = await createDataSet({
    extra: (row) => ({
      conversations: [
        { from: "human", value: `quality ${1 + row / 2}` },
        { from: "gpt", value: 1 + row / 2 },
      ],
    }),
  });
});
afterAll(() => set.remove());

const complete = ({ draw, version, text }: FakePrompt): string => {
  const quality = Number(/quality ([\d.]+)/.exec(text)![1]);
  const score = version < RANKS_FROM ? 1 + 4 * draw : quality + 0.2 * draw;
  return `<think>fine</think><answer>${score.toFixed(2)}</answer>`;
};

const configOf = (name: string, more: Partial<ConfigInput> = {}): ConfigInput =>
  set.config(name, {
    question_template: "{Question}",
    reward_funcs: ["accuracy", "format"],
    reward_weights: [1, 0.5],
    fidelity_warmup: "win_probability",
    prompts_per_step: 4,
    max_steps: STEPS,
    save_steps: 2,
    ...more,
  });

const metricsOf = async (config: ConfigInput): Promise<Record<string, number | null>[]> =>
  (await (await openRun(config.output_dir!)).metrics()).map(({ values }) => values);

/** The step in whose rollout batch the warm-up ended. */
async function endOf(config: ConfigInput, options: TrainOptions = {}): Promise<number> {
  const { events } = await runFake(config, options, { complete });
  const ends = eventsOf(events, "fidelity-warmup-end");
  expect(ends).toHaveLength(1);
  return ends[0]!.step;
}

describe("a run with fidelity_warmup", () => {
  it("pays win_probability, then fidelity for good, and measures both all along", async () => {
    const config = configOf("whole");
    const { events } = await runFake(config, {}, { complete });
    const [end] = eventsOf(events, "fidelity-warmup-end");
    expect(end!.step).toBeGreaterThanOrEqual(10);
    expect(end!.step).toBeLessThan(STEPS);
    expect(end!.srcc).toBeGreaterThan(0.45);
    expect(end!.message).toMatch(
      /^the warm-up is over: .* correlation of 0\.\d\d, and fidelity pays 0\.\d{3} more than a constant answer would earn\. From the next rollout batch on fidelity is paid, no longer win_probability\.$/,
    );

    const metrics = await metricsOf(config);
    expect(metrics.map((one) => one["fidelity_warmup"])).toEqual(
      Array.from({ length: STEPS }, (_, index) => (index < end!.step ? 1 : 0)),
    );
    for (const one of metrics) {
      const paid = one["fidelity_warmup"] === 1 ? "win_probability" : "fidelity";
      expect(one["reward"]).toBeCloseTo(one[`rewards/${paid}/mean`]! + 0.5 * one["rewards/format/mean"]!, 12);
      expect(one["rewards/fidelity/mean"]).not.toBe(one["rewards/win_probability/mean"]);
    }
    // What a step records is what its choice of reward rested on.
    expect(metrics[0]).toMatchObject({ "fidelity_warmup/srcc": null, "fidelity_warmup/surplus": null });
    expect(metrics.at(-1)).toMatchObject({
      batch_srcc: 1,
      "fidelity_warmup/srcc": end!.srcc,
      "fidelity_warmup/surplus": end!.surplus,
    });
    expect(metrics[1]!["fidelity_warmup/srcc"]).toBe(metrics[0]!["batch_srcc"] ?? 0);

    const written = (await (await openRun(config.output_dir!)).events()).filter(
      ({ type }) => type === "fidelity-warmup-end",
    );
    expect(written).toEqual([expect.objectContaining({ ...end })]);
  });

  it("is the same with rewards given in code", async () => {
    const byName = configOf("by name");
    const inCode = configOf("in code", { reward_funcs: undefined, reward_weights: undefined });
    const end = await endOf(byName);
    expect(await endOf(inCode, { rewards: { fidelity: 1, format: 0.5 } })).toBe(end);
    expect(await metricsOf(inCode)).toEqual(await metricsOf(byName));
  });

  it("ends later, or not at all, with a higher fidelity_warmup_srcc", async () => {
    const end = await endOf(configOf("default"));
    expect(await endOf(configOf("higher", { fidelity_warmup_srcc: 0.6 }))).toBeGreaterThan(end);
    const { events } = await runFake(configOf("highest", { fidelity_warmup_srcc: 0.99 }), {}, { complete });
    expect(eventsOf(events, "fidelity-warmup-end")).toEqual([]);
  });

  it("resumed wherever it failed equals the uninterrupted one", async () => {
    const recordOf = ({ output_dir: folder }: ConfigInput): unknown => {
      const read = (name: string): string => readFileSync(join(folder!, name), "utf8");
      return {
        metrics: read("metrics.jsonl"),
        rollouts: readdirSync(join(folder!, "rollouts"))
          .sort()
          .map((file) => read(`rollouts/${file}`)),
        trainer: read(`checkpoints/step_0000${2 * STEPS}/trainer.json`),
        model: read("model/weight.json"),
      };
    };
    const twice = { num_iterations: 2, max_steps: 2 * STEPS };
    const whole = configOf("uninterrupted", twice);
    const end = await endOf(whole);
    // Before the end, in the step after it, and long after it.
    for (const failing of [6, end + 1, end + 3]) {
      const config = configOf(`failing ${failing}`, twice);
      let updates = 0;
      const connect = meddle(createFakeWorker({ complete }), {
        before(method) {
          if (method === "optimStep" && ++updates === failing) throw new Error("pulled");
        },
      });
      await expect(train(config, { connect }).result).rejects.toThrow("pulled");
      await runFake({ ...config, resume_from_checkpoint: true }, {}, { complete });
      expect(recordOf(config)).toEqual(recordOf(whole));
      const events = await (await openRun(config.output_dir!)).events();
      expect(events.filter(({ type }) => type === "fidelity-warmup-end").map(({ step }) => step)).toEqual([end]);
    }
  });

  it("refuses a fidelity of the user's own before anything starts", async () => {
    const worker = createFakeWorker();
    const own = defineReward({ name: "fidelity", score: () => 1 });
    const { result } = train(configOf("own"), { connect: worker.connect, rewards: { fidelity: own } });
    await expect(result).rejects.toMatchObject({ name: "ConfigError", code: "CONFIG_FIDELITY_WARMUP" });
    expect(worker.calls).toEqual([]);
  });
});

it("a run without it records no warm-up, but how well its batches rank", async () => {
  const config = configOf("without", { fidelity_warmup: null, max_steps: 8 });
  await runFake(config, {}, { complete });
  const metrics = await metricsOf(config);
  expect(metrics.at(-1)!["batch_srcc"]).toBe(1);
  const names = Object.keys(metrics.at(-1)!);
  expect(names.filter((name) => name.includes("warmup") || name.includes("win_probability"))).toEqual([]);
});
