/**
 * LoRA from the configuration to a scored checkpoint: training, resuming, verifying, exporting, merging. One test, because each station
 * starts a worker.
 *
 * @module
 */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { defineReward, train, verifyRun } from "../../src/index.js";
import { verifyCheckpoint } from "../../src/runs/index.js";
import { commandIo } from "../cli/outputs.js";
import { startReusedWorker } from "./reused-worker.js";
import { changeValue, readTensors } from "./safetensors.js";
import { copyRun } from "../support/altered-run.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";

let workspace: DataSet;
beforeAll(async () => {
  workspace = await createDataSet({ rows: 3 });
});
afterAll(() => workspace.remove());

it("an adapter is trained, resumed to the bit, exported, merged, and rates pictures", async () => {
  const config = workspace.config("run", {
    // Random weights write no scores.
    model_name_or_path: fileURLToPath(new URL("../../assets/rated", import.meta.url)),
    max_completion_length: 24,
    learning_rate: 3e-4,
    worker_threads: 1,
    use_peft: true,
    lora_r: 2,
    lora_dropout: 0.1,
    lr_scheduler_type: "constant",
    beta: 0.04,
    prompts_per_step: 2,
    num_generations: 2,
    max_steps: 2,
    save_steps: 1,
  });
  const run = config.output_dir!;
  // What earns the same trains nothing.
  const sum = (ids: ArrayLike<number>): number => Array.from(ids).reduce((total, id) => total + id, 0);
  const reward = defineReward({ name: "sum", score: ({ completion }) => sum(completion.tokenIds) % 7 });
  const rewards = { sum: { reward, weight: 1 } };
  await train(config, { rewards }).result;
  const metrics = readFileSync(join(run, "metrics.jsonl"), "utf8").trim().split("\n");
  expect(metrics.map((line) => (JSON.parse(line) as { kl: number }).kl > 0)).toEqual([false, true]);
  const trained = [...readTensors(join(run, "checkpoints/step_000002/weights.safetensors")).keys()];
  expect(trained.length).toBeGreaterThan(0);
  expect(trained.filter((name) => !/language_model\.layers\.\d+\..*\.lora_[AB]\.default\.weight$/.test(name))).toEqual(
    [],
  );
  expect(readdirSync(join(run, "model")).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);

  const checkpoint = join(run, "checkpoints/step_000002");
  const { files } = await verifyCheckpoint(checkpoint);
  await using worker = await startReusedWorker(config);
  const options = { rewards, connect: worker.connect };
  await train({ ...config, resume_from_checkpoint: join(run, "checkpoints/step_000001") }, options).result;
  const hashed = (found: typeof files): unknown[] => found.filter(({ name }) => name !== "trainer.json");
  expect(hashed((await verifyCheckpoint(checkpoint)).files)).toEqual(hashed(files));

  // Verified in another process than the one that made its first step.
  expect(await verifyRun(run, options)).toMatchObject({ agrees: true, from: 1, to: 2 });
  const copy = copyRun(run, "changed");
  changeValue(join(copy, "checkpoints/step_000002/weights.safetensors"), trained[0]!, 1, 1e-3);
  const { differences } = await verifyRun(copy, { ...options, from: 2 });
  expect(differences.map(({ what }) => what.replace(/, 1 of .*/, ""))).toEqual([
    "weights.safetensors of the checkpoint has another content than was written",
    `weight ${trained[0]!}[0, 1]`,
  ]);

  const io = commandIo(workspace.folder);
  expect(await runCommandLine(["export", "run", "--out", "merged", "--merge"], io)).toBe(0);
  expect(io.stdout.text()).toBe("model of run at step 2 written to merged\n");
  expect(readdirSync(join(workspace.folder, "merged"))).toContain("config.json");

  const scoring = commandIo(workspace.folder);
  const args = ["score", "images/picture_0.png", "--model", "merged", "--json", "--threads", "1"];
  expect(await runCommandLine(args, scoring), scoring.stderr.text()).toBe(0);
  const { score } = JSON.parse(scoring.stdout.text()) as { score: number };
  expect(score).toBeGreaterThan(1);
  expect(score).toBeLessThan(6);
});
