/**
 * DeepSpeed's file is held against the configuration: what contradicts it is named, "auto" agrees with everything.
 *
 * @module
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deepSpeedSpread, readDeepSpeed, resolveConfig, trainingStrategy } from "../../src/config/index.js";
import type { ConfigInput } from "../../src/config/index.js";
import { ConfigError } from "../../src/errors.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "thurstone-deepspeed-"));
});
afterAll(() => rm(folder, { recursive: true }));

const model = { model_name_or_path: "m", num_processes: 2 };

async function read(settings: unknown, input: Omit<ConfigInput, "model_name_or_path"> = {}): Promise<unknown> {
  const file = path.join(folder, "settings.json");
  await writeFile(file, typeof settings === "string" ? settings : JSON.stringify(settings));
  return readDeepSpeed(file, resolveConfig({ ...model, ...input }));
}

async function problems(...asked: Parameters<typeof read>): Promise<unknown> {
  try {
    await read(...asked);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).code).toBe("CONFIG_DEEPSPEED");
    return (error as ConfigError).fields["problems"];
  }
  return [];
}

const zero = { zero_optimization: { stage: 3 } };

describe("the files that come along", () => {
  it.each([
    ["zero2", { strategy: "zero2", offload: { optimizer: false, weights: false } }],
    ["zero3", { strategy: "zero3", offload: { optimizer: false, weights: false } }],
    ["zero3_offload", { strategy: "zero3", offload: { optimizer: true, weights: true } }],
  ])("%s goes with every configuration", async (name, spread) => {
    const file = path.join(import.meta.dirname, `../../configs/${name}.json`);
    for (const input of [{ bf16: true }, { torch_dtype: "float32" as const, max_grad_norm: 0 }]) {
      const settings = await readDeepSpeed(file, resolveConfig({ ...model, ...input }));
      expect(deepSpeedSpread(settings)).toEqual(spread);
      expect(Object.keys(settings).sort()).toEqual(["bf16", "zero_optimization"]);
    }
  });
});

it("tells the two offloads apart", async () => {
  const cpu = { device: "cpu" };
  const spread = async (sections: object) =>
    deepSpeedSpread((await read({ zero_optimization: { stage: 3, ...sections } })) as Record<string, unknown>).offload;
  expect(await spread({ offload_optimizer: cpu })).toEqual({ optimizer: true, weights: false });
  expect(await spread({ offload_param: cpu })).toEqual({ optimizer: false, weights: true });
  expect(await spread({ stage: 2, offload_optimizer: cpu })).toEqual({ optimizer: true, weights: false });
});

it("has nothing to gather where every rank has all weights", async () => {
  const layerwise = { ds3_gather_for_generation: false };
  const asked = { ...layerwise, deepspeed: "settings.json" };
  expect(await problems({ zero_optimization: { stage: 2 } }, asked)).toEqual([
    expect.stringMatching(/^zero_optimization\.stage is 2, .* ds3_gather_for_generation is false/),
  ]);
  expect(await problems(zero, asked)).toEqual([]);
  expect(() => resolveConfig({ ...model, ...layerwise })).toThrowError(
    expect.objectContaining({ code: "CONFIG_CONFLICT" }) as Error,
  );
  expect(resolveConfig({ ...model, ...layerwise, strategy: "fsdp2" })).toMatchObject(layerwise);
});

it("is the strategy where it is named, with one process as well", () => {
  expect(trainingStrategy(resolveConfig({ model_name_or_path: "m", deepspeed: "zero3.json" }))).toBe("deepspeed");
  for (const wrong of [{ strategy: "deepspeed" as const }, { strategy: "ddp" as const, deepspeed: "zero3.json" }]) {
    expect(() => resolveConfig({ ...model, ...wrong })).toThrowError(
      expect.objectContaining({ code: "CONFIG_CONFLICT" }) as Error,
    );
  }
});

it("takes numbers that the configuration has as well, and passes on what only DeepSpeed knows", async () => {
  const optimizer = { type: "AdamW", params: { lr: 1e-6, betas: [0.9, 0.999], eps: "auto", weight_decay: 0 } };
  const batches = { train_batch_size: 12, train_micro_batch_size_per_gpu: 6, gradient_clipping: 1 };
  const settings = { ...zero, optimizer, ...batches, steps_per_print: 100 };
  expect(await read(settings, { per_device_train_batch_size: 6 })).toEqual({ ...zero, steps_per_print: 100 });
});

it.each([
  [{ ...zero, gradient_clipping: 0.5 }, /gradient_clipping is 0\.5, and max_grad_norm is 1/],
  [{ ...zero, optimizer: { type: "AdamW", params: { lr: 1 } } }, /optimizer\.params\.lr is 1, and learning_rate is/],
  [{ ...zero, train_micro_batch_size_per_gpu: 4 }, /and per_device_train_batch_size is not set/],
  [{ ...zero, optimizer: { type: "Lamb" } }, /only AdamW is built/],
  [{ ...zero, optimizer: { type: "AdamW", params: { torch_adam: true } } }, /torch_adam would not be read/],
  [{ ...zero, scheduler: { type: "WarmupLR" } }, /lr_scheduler_type/],
  [{ ...zero, fp16: { enabled: true } }, /float16 is not built/],
  [{ ...zero, bf16: { enabled: true } }, /bf16\.enabled is true, and the computation is auto/],
  [{ ...zero, torch_autocast: { enabled: true } }, /torch_autocast\.enabled is true/],
  [{ ...zero, managed_gradient_accumulation: true }, /^managed_gradient_accumulation is unknown, or would not/],
  [{ ...zero, gradient_cliping: 1 }, /gradient_cliping is unknown.*did you mean "gradient_clipping"\?/],
  [{ ...zero, bf16: { enabled: "auto", bf16_optimizer_states: true } }, /bf16\.bf16_optimizer_states is unknown/],
  [{ zero_optimization: { stage: 3, overlap_com: true } }, /zero_optimization\.overlap_com .*"overlap_comm"\?/],
  [{ zero_optimization: { stage: 2, cpu_offload: true } }, /zero_optimization\.cpu_offload is unknown/],
  [
    { zero_optimization: { stage: 2, offload_optimizer: { device: "cpu", ratio: 0.3 } } },
    /offload_optimizer\.ratio is/,
  ],
  [{ zero_optimization: { stage: 1 } }, /stage is 1; it must be 2 or 3/],
  [{}, /stage is missing/],
  [{ zero_optimization: { stage: 3, offload_param: { device: "nvme" } } }, /offload_param\.device is "nvme"/],
  [{ zero_optimization: { stage: 3, sub_group_size: "auto" } }, /sub_group_size is "auto", which nothing fills in/],
  [{ ...zero, bf16: true }, /^bf16 is true; it must be a map of settings$/],
  [{ ...zero, bf16: { enabled: "yes" } }, /^bf16\.enabled is "yes"; it must be true or false$/],
  [{ ...zero, optimizer: "AdamW" }, /^optimizer is "AdamW"; it must be a map/],
  [{ ...zero, amp: true }, /^amp is true; it must be a map/],
  [{ ...zero, comms_logger: true }, /^comms_logger is true; it must be a map/],
  [{ ...zero, comms_logger: { enable: true } }, /comms_logger\.enable is unknown.*"enabled"\?/],
  [{ ...zero, comms_logger: { prof_ops: "all_reduce" } }, /prof_ops is "all_reduce"; it must be a list of names/],
  [{ ...zero, communication_data_type: "fp8" }, /^communication_data_type is "fp8"; it must be one of "fp32", "fp16"/],
  [{ ...zero, log_level: "loud" }, /^log_level is "loud"; it must be one of "debug"/],
  [{ ...zero, steps_per_print: "often" }, /^steps_per_print is "often"; it must be a number above 0/],
  [{ zero_optimization: { stage: 3, offload_param: "cpu" } }, /offload_param is "cpu"; it must be a map/],
  [{ zero_optimization: { stage: 3, offload_param: { device: "gpu" } } }, /device is "gpu"; it must be one of "none"/],
  [{ zero_optimization: { stage: 2, overlap_comm: "no" } }, /overlap_comm is "no"; it must be true or false/],
  [{ zero_optimization: { stage: 2, allgather_bucket_size: 5 } }, /allgather_bucket_size is 5; it must be an even/],
  [{ ...zero, zero_force_ds_cpu_optimizer: true }, /^zero_force_ds_cpu_optimizer is true, and the worker has an AdamW/],
  [{ ...zero, zero_allow_untested_optimizer: false }, /^zero_allow_untested_optimizer is false, and the worker's/],
  [
    { zero_optimization: { stage: 2, offload_param: { device: "cpu" } } },
    /^zero_optimization\.offload_param would not be read at stage 2/,
  ],
  [
    { zero_optimization: { stage: 2, stage3_gather_16bit_weights_on_model_save: true } },
    /on_model_save would not be read at stage 2/,
  ],
  [
    { zero_optimization: { stage: 3, stage3_gather_16bit_weights_on_model_save: false } },
    /is false, and exports hold whole weights/,
  ],
  [{ zero_optimization: { stage: 2, sub_group_size: 1e9 } }, /sub_group_size would not be read at stage 2/],
  [
    { zero_optimization: { stage: 3, allgather_bucket_size: 2e8 } },
    /allgather_bucket_size would not be read at stage 3/,
  ],
  [{ zero_optimization: { stage: 2, allgather_partitions: false } }, /allgather_partitions is false, which DeepSpeed/],
  ["not json", /cannot be read as DeepSpeed's JSON/],
  ["[]", /no map of settings/],
])("%j is refused", async (settings, message) => {
  expect(await problems(settings)).toEqual([expect.stringMatching(message)]);
});

it("names everything at once", async () => {
  expect(await problems({ zero_optimization: { stage: 0 }, scheduler: {}, gradient_clipping: 3 })).toHaveLength(3);
});

it("takes what is written as it would be without", async () => {
  const own = { zero_force_ds_cpu_optimizer: false, zero_allow_untested_optimizer: true };
  const logged = { log_level: "info", communication_data_type: "fp32", comms_logger: { enabled: true, prof_ops: [] } };
  const stage2 = {
    stage: 2,
    allgather_partitions: true,
    allgather_bucket_size: 2e8,
    offload_param: { device: "none" },
  };
  expect(await problems({ ...own, ...logged, zero_optimization: stage2 })).toEqual([]);
  expect(await problems({ zero_optimization: { stage: 3, offload_optimizer: null } })).toEqual([]);
});

it("takes a file as Hugging Face's examples have it", async () => {
  const device = { device: "none", pin_memory: true };
  const scaling = { loss_scale: 0, loss_scale_window: 1000, initial_scale_power: 16, hysteresis: 2, min_loss_scale: 1 };
  const stage3 = {
    stage: 3,
    offload_optimizer: device,
    offload_param: device,
    overlap_comm: true,
    contiguous_gradients: true,
    sub_group_size: 1e9,
    reduce_bucket_size: "auto",
    stage3_prefetch_bucket_size: "auto",
    stage3_param_persistence_threshold: "auto",
    stage3_max_live_parameters: 1e9,
    stage3_max_reuse_distance: 1e9,
    stage3_gather_16bit_weights_on_model_save: true,
  };
  const settings = {
    fp16: { enabled: "auto", ...scaling },
    bf16: { enabled: "auto" },
    zero_optimization: stage3,
    gradient_accumulation_steps: "auto",
    gradient_clipping: "auto",
    steps_per_print: 100,
    train_batch_size: "auto",
    train_micro_batch_size_per_gpu: "auto",
    wall_clock_breakdown: false,
  };
  expect(deepSpeedSpread((await read(settings)) as Record<string, unknown>)).toEqual({
    strategy: "zero3",
    offload: { optimizer: false, weights: false },
  });
});
