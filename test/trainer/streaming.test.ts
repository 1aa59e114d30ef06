import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { ConfigInput } from "../../src/index.js";
import { defineReward, sft, train } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, runFake } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet({ rows: 8, extra: (row) => ({ hard: (row * 3) % 8 }) });
});
afterAll(() => set.remove());

const streaming = (name: string, more: Partial<ConfigInput> = {}): ConfigInput =>
  set.config(name, { dataset_streaming: true, ...more });

/** What a run did: its rollouts and its metrics without times. */
async function trace(config: ConfigInput): Promise<unknown> {
  const { events } = await runFake(config);
  const rollouts = [1, 2, 3, 4].map((step) =>
    readFileSync(join(config.output_dir!, `rollouts/step_00000${step}.jsonl`), "utf8"),
  );
  return { rollouts, rewards: eventsOf(events, "step-end").map(({ metrics }) => metrics.reward) };
}

describe("dataset_streaming", () => {
  it("gives the run that rows in memory give", async () => {
    for (const more of [{}, { curriculum_key: "hard", curriculum_mix: 0.2 }]) {
      const name = Object.keys(more).length;
      expect(await trace(streaming(`due-${name}`, more))).toEqual(await trace(set.config(`all-${name}`, more)));
    }
  });

  it("goes on from a checkpoint of a run with rows in memory", async () => {
    const whole = await trace(set.config("whole"));
    const config = set.config("stopped");
    const run = train(config, { connect: createFakeWorker().connect, callbacks: { onStep: () => void run.stop() } });
    expect((await run.result).step).toBe(1);
    expect(await trace({ ...config, dataset_streaming: true, resume_from_checkpoint: true })).toMatchObject({
      rollouts: (whole as { rollouts: unknown }).rollouts,
    });
  });

  it("refuses a row that a reward cannot use when its batch is due, by file and line", async () => {
    const file = join(set.folder, "hints.jsonl");
    const lines = readFileSync(set.data, "utf8").trimEnd().split("\n");
    writeFileSync(file, lines.map((line, at) => (at === 7 ? line : line.replace("{", '{"hint":"x",'))).join("\n"));
    const picky = defineReward({ name: "picky", row: z.object({ hint: z.string() }), score: () => 1 });
    const config = streaming("picky", { data_file_paths: [file], shuffle_dataset: false });
    const run = train(config, { connect: createFakeWorker().connect, rewards: { picky } });
    await expect(run.result).rejects.toMatchObject({
      code: "DATA_REWARD_ROW",
      message: expect.stringMatching(/hints\.jsonl:8 .*"picky".*hint/) as string,
    });
    // The two batches before it were trained on.
    expect(readFileSync(join(set.folder, "picky/metrics.jsonl"), "utf8").trimEnd().split("\n").length).toBe(2);
  });

  it("ends a run whose file changes under it", async () => {
    const file = join(set.folder, "changing.jsonl");
    writeFileSync(file, readFileSync(set.data));
    const config = streaming("changing", { data_file_paths: [file] });
    const run = train(config, {
      connect: createFakeWorker().connect,
      callbacks: { onStep: ({ step }) => void (step === 1 && appendFileSync(file, "\n")) },
    });
    await expect(run.result).rejects.toMatchObject({ code: "DATA_FILE_CHANGED" });
  });

  it("needs held-out rows in a file of their own", async () => {
    const { connect } = createFakeWorker();
    await expect(train(streaming("split", { val_split_ratio: 0.5 }), { connect }).result).rejects.toThrow(
      "dataset_streaming is true and val_split_ratio is 0.5",
    );
    const { result } = await runFake(
      streaming("held", { eval_data_file_paths: [set.data], eval_image_folders: [set.images] }),
    );
    expect(result.step).toBe(4);
  });

  it("streams examples to imitate too", async () => {
    const { num_generations: _one, prompts_per_step: _two, ...rest } = streaming("sft");
    const run = sft({ ...rest, max_steps: 2, per_device_train_batch_size: 4 }, { connect: createFakeWorker().connect });
    expect((await run.result).step).toBe(2);
  });
});

it("a curriculum may be a function of train's caller", async () => {
  const config = set.config("function", { prompts_per_step: 4, max_steps: 2 });
  await runFake(config, { curriculum: ({ id }) => -Number(id) });
  const rows = [1, 2].map((step) => {
    const lines = readFileSync(join(config.output_dir!, `rollouts/step_00000${step}.jsonl`), "utf8").trimEnd();
    return [...new Set(lines.split("\n").map((line) => (JSON.parse(line) as { row: string }).row))];
  });
  expect(rows).toEqual([
    ["7", "6", "5", "4"],
    ["3", "2", "1", "0"],
  ]);
});

it("rows without pictures, with one and with two are ranked in one batch, and recorded", async () => {
  const file = join(set.folder, "mixed.jsonl");
  const pictures = [[], ["picture_0.png"], ["picture_1.png", "picture_2.png"]];
  const lines = pictures.map((image, id) =>
    JSON.stringify({
      id,
      dataset_name: "tiny",
      image,
      conversations: [
        { from: "human", value: "Rate it." },
        { from: "gpt", value: 2 + id },
      ],
    }),
  );
  writeFileSync(file, lines.join("\n"));
  const config = set.config("mixed", { data_file_paths: [file], max_steps: 1 });
  const { events } = await runFake(config);
  const [{ metrics }] = eventsOf(events, "step-end") as [ReturnType<typeof eventsOf<"step-end">>[0]];
  expect(metrics["rewards/fidelity/missing"]).toBe(0);
  expect(metrics["rewards/fidelity/mean"]).toBeGreaterThan(0);
  const records = readFileSync(join(config.output_dir!, "rollouts/step_000001.jsonl"), "utf8").trimEnd().split("\n");
  const shown = records.map((line) => JSON.parse(line) as { readonly row: string; readonly images: readonly string[] });
  expect(shown.every(({ row, images }) => images.length === Number(row))).toBe(true);
  expect(shown.length).toBe(12);
});
