/**
 * Every configuration in configs/ loads, tells editors of its schema, and says what it is meant to say.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { loadConfig, loadSftConfig } from "../../src/config/index.js";

const folder = fileURLToPath(new URL("../../configs", import.meta.url));
const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.ya?ml$/.test(name));

it.each(names)("%s loads, and starts with the header for editors", async (name) => {
  const load = name.includes("sft") ? loadSftConfig : loadConfig;
  const config = await load([`${folder}/${name}`], {}, { require: ["data_file_paths"] });
  expect(config.output_dir).toMatch(/^output\//);
  const up = "../".repeat(name.split("/").length - 1);
  expect(readFileSync(`${folder}/${name}`, "utf8").split("\n")[0]).toBe(
    `# yaml-language-server: $schema=${up === "" ? "./" : up}schema.json`,
  );
});

it("qwen2.5vl_kadid.yaml is the recipe of the paper", async () => {
  expect(await loadConfig([`${folder}/qwen2.5vl_kadid.yaml`])).toMatchObject({
    num_generations: 6,
    learning_rate: 1e-6,
    lr_scheduler_type: "linear",
    beta: 0.04,
    epsilon: 0.2,
    epsilon_high: 0.2,
    temperature: 1,
    max_completion_length: 256,
    num_train_epochs: 10,
    per_device_train_batch_size: 48,
    prompts_per_step: 8,
    bf16: true,
    attn_implementation: "flash_attention_2",
    freeze_vision_modules: false,
    reward_funcs: ["accuracy", "format"],
    reward_weights: [1, 1],
  });
});

describe("the recipes of VisualQuality-R1 on all devices", () => {
  const recipe = {
    model_name_or_path: "Qwen/Qwen2.5-VL-7B-Instruct",
    question_template: "scoring",
    num_generations: 6,
    num_iterations: 1,
    learning_rate: 1e-6,
    lr_scheduler_type: "linear",
    warmup_ratio: 0,
    weight_decay: 0,
    max_grad_norm: 1,
    beta: 0.04,
    epsilon: 0.2,
    epsilon_high: 0.2,
    loss_type: "grpo",
    scale_rewards: "group",
    temperature: 1,
    max_completion_length: 256,
    num_train_epochs: 10,
    bf16: true,
    freeze_vision_modules: false,
    reward_funcs: ["accuracy", "format"],
    reward_weights: [1, 1],
    fidelity_variance: "additive",
    fidelity_variance_floor: 0.5e-6,
    comparison_set: 8,
  };

  it.each([
    ["vq-r1-paper.yaml", { prompts_per_step: 128, reference_parity: false, top_k: 0 }],
    ["vq-r1-script.yaml", { prompts_per_step: 64, reference_parity: true, top_k: 50, save_only_model: true }],
  ])("%s is complete", async (name, own) => {
    expect(await loadConfig([`${folder}/${name}`])).toMatchObject({ ...recipe, ...own });
  });

  it("vq-r1-paper.yaml takes the code's quirks as a flag", async () => {
    const config = await loadConfig([`${folder}/vq-r1-paper.yaml`], { reference_parity: true });
    expect(config).toMatchObject({ ...recipe, reference_parity: true, top_k: 50 });
  });
});

it("qwen2vl_sft_config.yaml carries the reference's values, and every line of it counts", async () => {
  const file = `${folder}/qwen2vl_sft_config.yaml`;
  const config = await loadSftConfig([file]);
  expect(config).toMatchObject({
    model_revision: "main",
    torch_dtype: "bfloat16",
    bf16: true,
    gradient_checkpointing: true,
    gradient_checkpointing_kwargs: { use_reentrant: false },
    packing: true,
    max_seq_length: 4096,
    learning_rate: 2e-5,
    lr_scheduler_type: "cosine",
    warmup_ratio: 0.1,
    num_train_epochs: 3,
    max_steps: -1,
    per_device_train_batch_size: 4,
    gradient_accumulation_steps: 2,
    logging_steps: 5,
    seed: 42,
    data_seed: 42,
  });
  const written = parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  for (const [key, value] of Object.entries(written)) {
    const resolved = config[key as keyof typeof config];
    expect([key, Array.isArray(resolved) ? resolved.join(":") : resolved]).toEqual([key, value]);
  }
});
