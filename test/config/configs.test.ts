/**
 * Every configuration in configs/ loads, tells editors of its schema, and says what it is meant to say.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { loadConfig } from "../../src/config/index.js";

const folder = fileURLToPath(new URL("../../configs", import.meta.url));
const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.ya?ml$/.test(name));

it.each(names)("%s loads, and starts with the header for editors", async (name) => {
  const config = await loadConfig([`${folder}/${name}`], {}, { require: ["data_file_paths"] });
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
