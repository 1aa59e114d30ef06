import { describe, expect, it } from "vitest";
import { parseFlags, resolveConfig, resolveSftConfig } from "../../src/config/index.js";
import { said } from "./said.js";

const model = { model_name_or_path: "m" };

describe("an adapter", () => {
  it("is described by the keys of TRL, which leave what they do not say to the worker", () => {
    const flags = parseFlags(
      "--use_peft true --lora_r 64 --lora_alpha 128 --lora_dropout 0.05 --lora_task_type CAUSAL_LM --lora_target_modules q_proj v_proj".split(
        " ",
      ),
    );
    expect(resolveConfig({ ...model, ...flags })).toMatchObject({
      use_peft: true,
      lora_r: 64,
      lora_alpha: 128,
      lora_dropout: 0.05,
      lora_target_modules: ["q_proj", "v_proj"],
      use_rslora: null,
      use_dora: null,
    });
    expect(resolveConfig({ ...model, use_peft: true, lora_target_modules: "all-linear" }).lora_target_modules).toEqual([
      "all-linear",
    ]);
    expect(resolveSftConfig({ ...model, use_peft: true })).toMatchObject({ use_peft: true, lora_r: null });
  });

  it.each([
    ["lora_r", 8],
    ["lora_dropout", 0.1],
    ["lora_target_modules", ["q_proj"]],
    ["use_dora", true],
  ])("has nothing to be shaped by %s where there is none", (key, value) => {
    expect(said({ [key]: value })).toEqual([
      `CONFIG_CONFLICT: ${key} is set, and use_peft is false: there is no adapter that it could shape. Set use_peft to true.`,
    ]);
    expect(said({ [key]: value, use_peft: true })).toEqual([]);
  });

  it("drops nothing where an update compares with log-probabilities without dropout", () => {
    const dropping = { use_peft: true, lora_dropout: 0.05 };
    expect(said(dropping)).toEqual([]);
    expect(said({ ...dropping, num_iterations: 2 })).toEqual([
      expect.stringContaining("lora_dropout is 0.05, and a rollout batch feeds 2 updates") as string,
    ]);
    expect(said({ ...dropping, lora_dropout: 0, num_iterations: 2 })).toEqual([]);
    expect(resolveSftConfig({ ...model, ...dropping }).lora_dropout).toBe(0.05);
  });

  it("is what trains weights in 4 bits", () => {
    expect(said({ load_in_4bit: true })).toEqual([
      "CONFIG_CONFLICT: load_in_4bit is true, and use_peft is false: weights in 4 bits cannot be trained. Set use_peft to true.",
    ]);
    expect(said({ load_in_4bit: true, use_peft: true })).toEqual([]);
  });
});

describe("optim adamw_bnb_8bit", () => {
  const optim = "adamw_bnb_8bit";

  it("goes with one process, and with ddp", () => {
    expect(said({ optim })).toEqual([]);
    expect(said({ optim, num_processes: 2, per_device_train_batch_size: 6 })).toEqual([]);
  });

  it.each([
    ["fsdp2", { num_processes: 2, strategy: "fsdp2" }],
    ["deepspeed", { deepspeed: "configs/zero3.json" }],
  ])("is refused under %s, which cuts parameters into pieces", (strategy, keys) => {
    expect(said({ optim, ...keys })).toEqual([
      `CONFIG_CONFLICT: optim is "adamw_bnb_8bit", and strategy is "${strategy}", which cuts parameters into pieces that ` +
        'bitsandbytes does not take. Use strategy "ddp", or optim "adamw_torch".',
    ]);
    expect(said({ optim: "adamw_torch", ...keys })).toEqual([]);
  });
});

describe("vision_learning_rate", () => {
  it.each([{ freeze_vision_modules: true }, { use_peft: true }])(
    "is refused with %o, which trains no tower",
    (keys) => {
      expect(said({ ...keys, vision_learning_rate: 1e-6 })).toEqual([
        `CONFIG_CONFLICT: vision_learning_rate is 0.000001, and ${Object.keys(keys)[0]} is true: the vision tower is not trained.`,
      ]);
    },
  );

  it("shares the schedule of a learning rate above 0", () => {
    expect(said({ vision_learning_rate: 1e-6 })).toEqual([]);
    expect(said({ vision_learning_rate: 0 })).toEqual([]);
    expect(said({ vision_learning_rate: 1e-6, learning_rate: 0 })).toHaveLength(1);
  });
});
