/**
 * run_scripts/KADID-10K/one_node_run_kadid.sh: each of its flags means something here, none is ignored.
 *
 * The script runs for real, with a `node` in front of the path that writes down what it was called with.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deepSpeedSpread, loadConfig, parseFlags, planRun, readDeepSpeed } from "../../src/config/index.js";
import { orderCounts } from "../data/orders.js";

const script = fileURLToPath(new URL("../../run_scripts/KADID-10K/one_node_run_kadid.sh", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "thurstone-script-"));
  await writeFile(path.join(folder, "node"), '#!/bin/sh\nprintf "%s\\0" "$@"\n', { mode: 0o755 });
});
afterAll(() => rm(folder, { recursive: true }));

function runScript(
  args: readonly string[] = [],
  env: Record<string, string> = { IMAGE_FOLDER: "kadid images", DATA_FILE: "kadid.jsonl", RUN_NAME: "mine" },
): { status: number | null; stderr: string; args: string[] } {
  const { status, stdout, stderr } = spawnSync("bash", [script, ...args], {
    env: { PATH: `${folder}:${process.env["PATH"]}`, ...env },
    encoding: "utf8",
  });
  return { status, stderr, args: stdout.split("\0").slice(0, -1) };
}

/** What the script's flags and further ones lead to: the configuration and its plan for KADID's training rows. */
async function outcome(more: Readonly<Record<string, unknown>>): Promise<string> {
  const flags = parseFlags(runScript(["--deepspeed", "none"]).args.slice(2));
  const config = await loadConfig([], { ...flags, ...more });
  return JSON.stringify({ config, plan: planRun(config, { order: orderCounts({ "KADID-10K": 6125 }, config) }) });
}

describe("the script", () => {
  it("calls `thurstone train` with the flags of the reference's script", () => {
    const { status, args } = runScript();
    expect(status).toBe(0);
    expect(args.slice(0, 2)).toEqual([expect.stringMatching(/\/dist\/cli\/main\.js$/), "train"]);
    expect(parseFlags(args.slice(2))).toEqual({
      deepspeed: expect.stringMatching(/configs\/zero3\.json$/) as string,
      output_dir: "output/mine",
      model_name_or_path: "Qwen/Qwen2.5-VL-7B-Instruct",
      question_template: "scoring",
      dataset_name: "KADID-10K",
      image_folders: "kadid images",
      data_file_paths: "kadid.jsonl",
      freeze_vision_modules: false,
      max_prompt_length: 1024,
      num_generations: 6,
      per_device_train_batch_size: 48,
      gradient_accumulation_steps: 1,
      logging_steps: 1,
      bf16: true,
      torch_dtype: "bfloat16",
      data_seed: 42,
      report_to: "tensorboard",
      gradient_checkpointing: true,
      attn_implementation: "flash_attention_2",
      num_train_epochs: 10,
      run_name: "mine",
      save_steps: 50,
      save_only_model: true,
    });
  });

  it("passes its own arguments on, and they win", () => {
    const flags = parseFlags(runScript(["--num_generations", "4", "--run_name", "two words"]).args.slice(2));
    expect(flags).toMatchObject({ num_generations: 4, run_name: "two words" });
  });

  it("says which paths it needs", () => {
    expect(runScript([], { DATA_FILE: "x" })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("IMAGE_FOLDER: set it to the folder of the KADID-10K pictures") as string,
    });
    expect(runScript([], { IMAGE_FOLDER: "x" }).stderr).toContain("DATA_FILE: set it to the JSONL file");
  });
});

it("asks for DeepSpeed with a file that goes with its flags", async () => {
  const config = await loadConfig([], parseFlags(runScript().args.slice(2)));
  expect(deepSpeedSpread(await readDeepSpeed(config.deepspeed!, config))).toEqual({
    strategy: "zero3",
    offload: { optimizer: false, weights: false },
  });
});

describe("without DeepSpeed", () => {
  /** Another value for each flag of the script, and for a few it is often extended with. */
  const others: Readonly<Record<string, unknown>> = {
    output_dir: "elsewhere",
    model_name_or_path: "Qwen/Qwen2.5-VL-3B-Instruct",
    question_template: "scoring_non_thinking",
    dataset_name: "TID2013",
    image_folders: "other",
    data_file_paths: "other.jsonl",
    freeze_vision_modules: true,
    max_prompt_length: 512,
    num_generations: 4,
    per_device_train_batch_size: 24,
    gradient_accumulation_steps: 2,
    logging_steps: 5,
    torch_dtype: "auto",
    data_seed: 7,
    report_to: "none",
    gradient_checkpointing: false,
    attn_implementation: "sdpa",
    num_train_epochs: 3,
    run_name: "other",
    save_steps: 25,
    save_only_model: false,
  };

  it("covers every flag of the script", () => {
    const { deepspeed: _, bf16: __, ...flags } = parseFlags(runScript().args.slice(2));
    expect(Object.keys(others).sort()).toEqual(Object.keys(flags).sort());
  });

  it.each(Object.entries(others))("%s counts", async (key, value) => {
    expect(await outcome({ [key]: value })).not.toBe(await outcome({}));
  });

  it("bf16 counts", async () => {
    expect(await outcome({ bf16: true, torch_dtype: "auto" })).not.toBe(
      await outcome({ bf16: false, torch_dtype: "auto" }),
    );
  });

  it("plans the paper's 8 pictures x 6 completions, 10 times over", async () => {
    const { plan } = JSON.parse(await outcome({})) as { plan: Record<string, number> };
    expect(plan).toMatchObject({ promptsPerStep: 8, completionsPerUpdate: 48, steps: 7656, epochs: 10, leftOver: 2 });
  });
});
