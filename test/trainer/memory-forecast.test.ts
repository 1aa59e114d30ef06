/**
 * A run that would not fit is refused before a worker is started; one that is not known is not.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { memoryLines } from "../../src/cli/memory-text.js";
import { sum } from "../../src/config/index.js";
import type { ConfigInput } from "../../src/config/index.js";
import {
  forecastSft,
  forecastTraining,
  prepareRun,
  prepareSft,
  probe,
  remedyText,
  train,
} from "../../src/trainer/index.js";
import { defineReward } from "../../src/rewards/index.js";
import { withForecast } from "../../src/trainer/memory-forecast.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";

const part = fileURLToPath(new URL("../../assets/part", import.meta.url));
const SEVEN = "Qwen/Qwen2.5-VL-7B-Instruct";

let set: DataSet;
let held: DataSet;
beforeAll(async () => {
  [set, held] = await Promise.all([createDataSet(), createDataSet({ rows: 70 })]);
});
afterAll(() => {
  set.remove();
  held.remove();
});

function config(changes: Partial<ConfigInput>): ConfigInput {
  return { ...set.config("run"), device: "cpu", model_name_or_path: part, ...changes };
}

async function forecast(changes: Partial<ConfigInput>) {
  return (await forecastTraining(await prepareRun(config(changes))))!;
}

const connect = (): never => {
  throw new Error("a worker was started");
};

describe("a run that does not fit", () => {
  const small = { device_memory_gb: 0.01 };

  it("is refused with both numbers and what would help", async () => {
    await expect(train(config(small), { connect }).result).rejects.toMatchObject({
      code: "CONFIG_MEMORY",
      message: expect.stringMatching(
        /^The run needs about 0\.\d GiB at its peak \(train\), and there are 0\.0/,
      ) as string,
    });
    await expect(probe(config(small), { connect })).rejects.toMatchObject({ code: "CONFIG_MEMORY" });
    const seven = { model_name_or_path: SEVEN, device: "cuda", device_memory_gb: 24 };
    await expect(train(config(seven), { connect }).result).rejects.toMatchObject({
      code: "CONFIG_MEMORY",
      fields: { remedies: [{ settings: { use_peft: true } }, {}, {}] },
    });
  });

  it("goes on where the model's shape is not known", async () => {
    const unknown = { ...small, model_name_or_path: "somebody/a-model" };
    await expect(train(config(unknown), { connect }).result).rejects.toThrowError("a worker was started");
  });
});

describe("workers of other machines", () => {
  const keys = { worker_address: "tcp://127.0.0.1:5700", worker_key_file: "keys/control.json" };
  const spread = { num_processes: 16, strategy: "fsdp2" as const, ...keys };
  const large = { model_name_or_path: "Qwen/Qwen2.5-VL-72B-Instruct", device: "auto", bf16: true, ...spread };
  const said =
    /^the memory plan is not checked \(workers of other machines, .*\): a rank needs about \d{3}\.\d GiB at its peak \(\w+\), with all weights put together to sample, whether or not they fit\. Set device_memory_gb to what the smallest device has/;

  it("are not asked for their memory: a run, a probe and the dry run say what it takes, and which key checks it", async () => {
    const news: string[] = [];
    const options = { connect, onNews: (sentence: string) => news.push(sentence) };
    await expect(train(config(large), options).result).rejects.toThrowError("a worker was started");
    await expect(probe(config(large), options)).rejects.toThrowError("a worker was started");
    expect(news).toEqual([expect.stringMatching(said), expect.stringMatching(said)]);
    const found = await forecast(large);
    expect(found).toMatchObject({ fits: true, available: { bytes: null, device: "cuda" } });
    expect(memoryLines("72B", found)).toContain(news[0]);
  });

  it("are held to device_memory_gb, each with its own, whatever this machine has", async () => {
    for (const device of ["auto", "cuda"]) {
      const news: string[] = [];
      const told = { ...large, device, device_memory_gb: 80 };
      const { available, fits, options, needed, plan } = await forecast(told);
      expect(available).toMatchObject({ bytes: 80 * 2 ** 30, device: "cuda" });
      expect([fits, needed, options.generation]).toEqual([false, plan.needed, "layerwise"]);
      const started = { connect, onNews: (sentence: string) => news.push(sentence) };
      await expect(train(config(told), started).result).rejects.toMatchObject({ code: "CONFIG_MEMORY" });
      expect(news).toEqual([]);
    }
    // As many devices as ranks are there.
    const ddp = { ...large, strategy: "ddp" as const, model_name_or_path: SEVEN, device: "cuda", device_memory_gb: 40 };
    const { remedies } = await forecast({ ...ddp, gradient_checkpointing: true });
    expect(remedies.map(({ settings }) => settings)).toContainEqual({ num_processes: 16, strategy: "fsdp2" });
  });
});

describe("what would make a run fit", () => {
  const seven = { model_name_or_path: SEVEN, device: "cuda" };
  const zero2 = fileURLToPath(new URL("../../configs/zero2.json", import.meta.url));
  const four = { num_processes: 4, per_device_train_batch_size: 12, num_generations: 6, prompts_per_step: 8 };

  it.each<[string, Partial<ConfigInput>]>([
    ["DeepSpeed", { ...seven, num_processes: 8, deepspeed: zero2, device_memory_gb: 40 }],
    ["weights in 4 bits", { ...seven, use_peft: true, load_in_4bit: true, device_memory_gb: 10 }],
    ["a pace of the tower's own", { ...seven, vision_learning_rate: 1e-7, device_memory_gb: 24 }],
    ["batches of a size", { ...seven, ...four, device_memory_gb: 40 }],
    ["a reward that compares", { ...seven, prompts_per_step: 2, device_memory_gb: 40 }],
    ["nothing else", { ...seven, device_memory_gb: 24 }],
  ])("is taken by the configuration and fits, beside %s", async (_, changes) => {
    const { fits, remedies } = await forecast(changes);
    expect(fits).toBe(false);
    expect(remedies).not.toHaveLength(0);
    for (const { settings, plan } of remedies) {
      expect(await forecast({ ...changes, ...settings })).toMatchObject({ fits: true, plan });
    }
  });

  it("is to remove DeepSpeed where another strategy takes its place", async () => {
    const spreadBy = { num_processes: 8, deepspeed: zero2, gradient_checkpointing: true };
    const { remedies } = await forecast({ ...seven, ...spreadBy, device_memory_gb: 40 });
    const spread = remedies.find(({ settings }) => settings["strategy"] === "fsdp2")!;
    expect(spread.settings).toEqual({ num_processes: 8, strategy: "fsdp2", deepspeed: null });
    expect(remedyText(spread)).toMatch(/^num_processes: 8 and strategy: fsdp2 and remove deepspeed \(\d+\.\d GiB\)$/);
  });

  it("does not go against what stays in DeepSpeed's file", async () => {
    const file = async (enabled: "auto" | false) => {
      const deepspeed = join(set.folder, `bf16-${enabled}.json`);
      await writeFile(deepspeed, JSON.stringify({ bf16: { enabled }, zero_optimization: { stage: 3 } }));
      return { ...seven, num_processes: 8, gradient_checkpointing: true, deepspeed };
    };
    const { needed } = await forecast({ ...(await file("auto")), bf16: true, device_memory_gb: 1000 });
    const float32 = { torch_dtype: "float32" as const, device_memory_gb: needed / 2 ** 30 };
    const proposed = async (enabled: "auto" | false) =>
      (await forecast({ ...(await file(enabled)), ...float32 })).remedies.map(({ settings }) => settings);
    expect(await proposed("auto")).toContainEqual({ bf16: true });
    const others = await proposed(false);
    expect(others).not.toHaveLength(0);
    for (const changed of others) {
      if (!("deepspeed" in changed)) expect(changed).not.toHaveProperty("bf16");
    }
  });

  it("leaves a reward of one's own the prompts that it needs", async () => {
    const wide = { use_peft: true, gradient_checkpointing: true, max_tokens_per_part: 40, num_generations: 32 };
    const halves = { ...wide, max_completion_length: 512, beta: 0, async_save: false };
    const needed = async (prompts_per_step: number) => (await forecast({ ...halves, prompts_per_step })).needed;
    const device_memory_gb = (await needed(4)) / 2 ** 30 + 0.001;
    expect(device_memory_gb).toBeLessThan((await needed(8)) / 2 ** 30);
    const proposed = async (minimumPrompts: number) => {
      const own = defineReward({ name: "own", minimumPrompts, score: () => 1 });
      const run = await prepareRun(config({ ...halves, prompts_per_step: 8, device_memory_gb }), { own });
      return (await forecastTraining(run))!.remedies.map(({ settings }) => settings);
    };
    expect(await proposed(4)).toContainEqual({ prompts_per_step: 4 });
    for (const changed of await proposed(5)) expect(changed).not.toHaveProperty("prompts_per_step");
  });

  it("holds in supervised training as well, where prompts_per_step is no key", async () => {
    const sft = async (changes: object) =>
      (await forecastSft(
        await prepareSft({
          ...seven,
          model_name_or_path: SEVEN,
          data_file_paths: [set.data],
          image_folders: [set.images],
          output_dir: set.folder,
          device_memory_gb: 40,
          bf16: true,
          ...changes,
        }),
      ))!;
    const { remedies } = await sft({});
    expect(remedies).not.toHaveLength(0);
    for (const { settings, plan } of remedies) expect(await sft(settings)).toMatchObject({ fits: true, plan });
    const spread = remedies.filter(({ settings }) => "strategy" in settings);
    // Which keeps the size of an update.
    for (const { settings } of spread) {
      expect(Number(settings["num_processes"]) * Number(settings["per_device_train_batch_size"])).toBe(8);
    }
  });
});

describe("what a run asks of memory", () => {
  it("follows from its keys", async () => {
    const { options } = await forecast({ use_peft: true, lora_r: 4, gradient_checkpointing: true, temperature: 0.7 });
    expect(options).toMatchObject({
      adapter: { rank: 4, targets: null, magnitudes: false, fourBit: false },
      gradientCheckpointing: true,
      precision: "float32",
      device: "cpu",
      work: { prompts: 3, promptsPerUpdate: 3, samples: 4, tempered: true, sampled: true },
    });
  });

  it("counts the processes that share a CPU's memory, each with its part of the model", async () => {
    const [one, two] = [await forecast({}), await forecast({ num_processes: 2, strategy: "fsdp2" })];
    expect(two.options).toMatchObject({ strategy: "fsdp2", ranks: 2 });
    expect(two.needed).toBe(2 * two.plan.needed);
    expect(two.plan.stages.update.optimizer).toBe(one.plan.stages.update.optimizer! / 2);
  });

  it("samples layer by layer where whole weights do not fit on a device, and does what it is told", async () => {
    const seven = { model_name_or_path: SEVEN, num_processes: 16, strategy: "fsdp2" as const, device: "cuda" };
    const prepared = async (changes: Partial<ConfigInput>) => {
      const run = await prepareRun(config({ ...seven, ...changes }));
      const found = (await forecastTraining(run))!;
      return [found.options.generation, withForecast(run, found).config.ds3_gather_for_generation];
    };
    expect(await prepared({ device_memory_gb: 80 })).toEqual(["gather", true]);
    expect(await prepared({ device_memory_gb: 20 })).toEqual(["layerwise", false]);
    expect(await prepared({ device_memory_gb: 20, ds3_gather_for_generation: true })).toEqual(["gather", true]);
    expect(await prepared({ device_memory_gb: 80, ds3_gather_for_generation: false })).toEqual(["layerwise", false]);
    expect(await prepared({ device_memory_gb: 20, device: "cpu" })).toEqual(["gather", true]);
    expect(await prepared({ device_memory_gb: 20, strategy: "ddp" })).toEqual(["gather", null]);
  });

  it("holds the rows of an evaluation, as many as are asked about in one go", async () => {
    const eval_data_file_paths = [held.data];
    const evaluated = async (changes: Partial<ConfigInput>) =>
      forecast({ eval_data_file_paths, eval_image_folders: [held.images], max_completion_length: 40, ...changes });
    const [none, sampled] = [await forecast({ max_completion_length: 40 }), await evaluated({ eval_samples: 6 })];
    const answers = { prompts: 64, samples: 6, completionTokens: 40 };
    expect(none.options.work.evaluation).toBeNull();
    expect(sampled.options.work.evaluation).toEqual({ answers, tokensAheadOfScore: null });
    expect(sum(sampled.plan.stages.generate)).toBeGreaterThan(2 * sum(none.plan.stages.generate));
    const work = async (changes: Partial<ConfigInput>) => (await evaluated(changes)).options.work.evaluation;
    const greedy = { ...answers, samples: 1 };
    expect(await work({})).toEqual({ answers: greedy, tokensAheadOfScore: null });
    expect(await work({ eval_estimators: ["expected"] })).toEqual({ answers: greedy, tokensAheadOfScore: 40 });
    expect(await work({ eval_estimators: ["expected"], eval_expected_after: "prefix" })).toMatchObject({
      answers: null,
      tokensAheadOfScore: 8,
    });
    expect(await work({ eval_data_file_paths: [], eval_image_folders: [], val_split_ratio: 0.25 })).toMatchObject({
      answers: { prompts: 2 },
    });
  });

  it("takes pictures at the size at which the model sees them", async () => {
    const { options } = await forecast({ max_pixels: 56 * 56, min_pixels: 56 * 56 });
    expect(options.work).toMatchObject({ patches: 16, imageTokens: 4, pictureBytes: 8 * 56 * 56 * 3 });
  });

  it("is computed in bfloat16 on CUDA where the checkpoint is", async () => {
    const { options } = await forecast({ device: "cuda", device_memory_gb: 80 });
    expect(options).toMatchObject({ precision: "bfloat16", device: "cuda" });
  });

  it("is one completion per row, and nothing to sample, in supervised training", async () => {
    const input = {
      model_name_or_path: part,
      data_file_paths: [set.data],
      image_folders: [set.images],
      output_dir: set.folder,
      per_device_train_batch_size: 2,
      device: "cpu",
    };
    const found = (await forecastSft(await prepareSft(input)))!;
    expect(found.options.work).toMatchObject({
      samples: 1,
      sampled: false,
      promptsPerUpdate: 2,
      completionsPerPass: 2,
      evaluation: null,
    });
    // Answers of held-out rows are written, whatever those of the data are.
    const rated = await prepareSft({ ...input, val_split_ratio: 0.25, max_completion_length: 24 });
    expect((await forecastSft(rated))!.options.work).toMatchObject({
      sampled: false,
      promptsPerUpdate: 2,
      evaluation: { answers: { prompts: 2, samples: 1, completionTokens: 24 } },
    });
    expect(found.options.reference).toBe(false);
    expect(found.fits).toBe(true);
  });
});
