/**
 * The text of --dry-run: every number of the plan, in words.
 *
 * @module
 */
import { expect, it } from "vitest";
import { planText } from "../../src/cli/plan-text.js";
import { planRun, resolveConfig } from "../../src/config/index.js";

it("tells settings, batches and steps, and that memory is unknown for a model of which nothing is known", () => {
  const config = resolveConfig({
    model_name_or_path: "m",
    prompts_per_step: 8,
    per_device_train_batch_size: 12,
    num_iterations: 2,
    num_train_epochs: 2,
    freeze_vision_modules: true,
    val_split_ratio: 0.1,
  });
  const plan = planRun(config, {
    order: {
      datasets: [
        { name: "KADID", rows: 100, rollouts: 25, leftOver: 0 },
        { name: "TID", rows: 7, rollouts: 1, leftOver: 6 },
      ],
      batches: 26,
      leftOver: 0,
    },
    heldOutRows: 12,
  });
  expect(planText({ config, plan, memory: null }).join("\n")).toBe(`Settings that are not the defaults
  model_name_or_path           "m"
  freeze_vision_modules        true
  val_split_ratio              0.1
  num_iterations               2
  num_train_epochs             2
  per_device_train_batch_size  12

Data
  KADID: 100 rows, 25 batches
  TID: 7 rows, 1 batch, 6 rows left over for want of a full batch
  order: shuffled anew for every pass
  a batch: rows of one data set
  12 rows held out
  prompts: as long as the model takes; completions: at most 256 tokens

Batches
  a rollout batch: 8 prompts x 6 completions = 48 completions
  an update: 12 completions
  updates per rollout batch: 2 (num_iterations) x 4 = 8
  a forward and backward pass: at most 12 completions and about 256 MiB of activations, whole groups

Steps
  208 steps = 26 rollout batches x 8
  2 passes over 107 rows (num_train_epochs)
  learning rate: linear, no warm-up, 1e-6 at step 1, 4.81e-9 at step 208
  checkpoints after step 56, 104, ... 200, 208 (5 in all)
  evaluation before step 1 and after step 208

Memory of a worker, estimated
  unknown: m is no folder with a config.json of Qwen2-VL or Qwen2.5-VL, and no released Qwen2.5-VL`);
});

it("shortens a long list of checkpoints", () => {
  const config = resolveConfig({ model_name_or_path: "m", max_steps: 400 });
  const order = { datasets: [{ name: "a", rows: 64, rollouts: null, leftOver: 0 }], batches: Infinity, leftOver: 0 };
  const lines = planText({ config, plan: planRun(config, { order }), memory: null });
  expect(lines).toContain("  checkpoints after step 50, 100, ... 350, 400 (8 in all)");
  expect(lines).toContain("  50 passes over 64 rows (max_steps)");
});
